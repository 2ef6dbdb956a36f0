"""What is told of an answer while it grows: pieces, how likely its tokens were, and what the loop has done."""

from __future__ import annotations

import json
import math
import threading
from itertools import chain

import numpy as np

from edge_runtime.answer import Answer, Piece
from edge_runtime.assistant import Assistant
from edge_runtime.bundle import Bundle
from edge_runtime.chance import TokenScore
from edge_runtime.draft import DraftRules
from edge_runtime.loop.loop import Loop
from edge_runtime.loop.ticket import Event
from edge_runtime.request import Request
from tests.edge_runtime.loop.asking import TEXTS, answers_of, asked_alone, question, run_out

ASKED = Request(max_tokens=12, logprobs=3)


def test_events_are_handed_over_in_the_loop_s_thread(loop: Loop, bundle: Bundle) -> None:
    heard: list[tuple[int, Event]] = []
    ticket = loop.submit(
        question(bundle, TEXTS[0]), lambda event: heard.append((threading.get_ident(), event))
    )
    worker = threading.Thread(target=run_out, args=(loop,))
    worker.start()
    worker.join(60)
    assert {thread for thread, _ in heard} == {worker.ident}
    *pieces, answer = [event for _, event in heard]
    assert isinstance(answer, Answer)
    assert "".join(piece.text for piece in pieces if isinstance(piece, Piece)) == answer.text
    assert ticket._events.empty(), "what is handed over is not kept besides"


def test_every_token_has_its_score_with_the_text_that_it_became_part_of(loop: Loop, bundle: Bundle) -> None:
    heard: list[Event] = []
    loop.submit(question(bundle, TEXTS[0], request=ASKED), heard.append)
    run_out(loop)
    answer = heard[-1]
    assert isinstance(answer, Answer) and answer.logprobs is not None
    pieces = [event for event in heard if isinstance(event, Piece)]
    assert tuple(chain.from_iterable(piece.scores for piece in pieces)) == answer.logprobs
    assert [score.chosen.id for score in answer.logprobs] == list(answer.token_ids)
    assert all(piece.text for piece in pieces[:-1]), "what is held back comes with what releases it"


def test_greedy_answers_choose_the_likeliest(loop: Loop, bundle: Bundle) -> None:
    (answer,) = answers_of(loop, [loop.submit(question(bundle, TEXTS[0], request=ASKED))])
    assert answer.logprobs is not None
    for chosen, likeliest in answer.logprobs:
        assert chosen == likeliest[0] and len(likeliest) == 3
        assert likeliest[0].logprob >= likeliest[1].logprob >= likeliest[2].logprob


def test_scores_told_together_guessed_or_alone_are_the_same(
    loop: Loop, bundle: Bundle, alone: Assistant
) -> None:
    found = answers_of(loop, [loop.submit(question(bundle, text, None, ASKED)) for text in TEXTS[:3]])
    wanted = [asked_alone(alone, text, None, ASKED) for text in TEXTS[:3]]
    for one, other in zip(found, wanted, strict=True):
        assert one.logprobs is not None and other.logprobs is not None
        assert np.allclose(numbers(one.logprobs), numbers(other.logprobs), atol=1e-4)


def numbers(scores: tuple[TokenScore, ...]) -> list[float]:
    return [each.logprob for score in scores for each in (score.chosen, *score.likeliest)]


def test_without_being_asked_for_scores_are_not_told(loop: Loop, bundle: Bundle) -> None:
    heard: list[Event] = []
    loop.submit(question(bundle, TEXTS[0]), heard.append)
    run_out(loop)
    assert all(event.scores == () for event in heard if isinstance(event, Piece))
    (answer,) = [event for event in heard if isinstance(event, Answer)]
    assert answer.logprobs is None and "logprobs" not in answer.to_json()


def test_scores_of_an_answer_are_json(loop: Loop, bundle: Bundle) -> None:
    (answer,) = answers_of(loop, [loop.submit(question(bundle, TEXTS[0], request=ASKED))])
    told = json.loads(json.dumps(answer.to_json(), allow_nan=False))["logprobs"]
    assert [each["id"] for each in told] == list(answer.token_ids)
    assert all(math.isclose(each["logprob"], each["likeliest"][0]["logprob"]) for each in told)


def test_the_loop_counts_what_it_reads_shows_and_says(loop: Loop, bundle: Bundle) -> None:
    assert (loop.progressed, loop.cache_share) == (0, 0.0)
    (first,) = answers_of(loop, [loop.submit(question(bundle, TEXTS[0], 5))])
    works = loop.progressed
    (second,) = answers_of(loop, [loop.submit(question(bundle, TEXTS[1], 5))])
    usages = (first.usage, second.usage)
    assert (loop.pictures, loop.known_pictures) == (2, 1)
    assert loop.prompt_tokens == sum(usage.prompt_tokens for usage in usages)
    assert loop.cached_tokens == second.usage.cached_tokens > 0
    assert loop.said == sum(usage.completion_tokens for usage in usages)
    assert 0 < works < loop.progressed
    held = second.usage.prompt_tokens + second.usage.completion_tokens
    capacity = 3 * loop._rows.capacity
    assert (held - 1) / capacity <= loop.cache_share <= held / capacity
    assert (loop.drafted, loop.accepted, loop.corrupted) == (0, 0, 0)


def test_an_assistant_tells_scores_too_guessed_ahead_or_not(bundle: Bundle, alone: Assistant) -> None:
    from edge_runtime.backends.ort import OrtBackend

    request = Request(max_tokens=60, logprobs=2)
    with Assistant(bundle, OrtBackend(bundle, threads=1), drafts=DraftRules(shortest=1)) as guessing:
        found, wanted = (each.ask(TEXTS[0], request=request) for each in (guessing, alone))
    assert found.logprobs is not None and wanted.logprobs is not None
    assert found.token_ids == wanted.token_ids and len(wanted.logprobs) == len(wanted.token_ids)
    assert np.allclose(numbers(found.logprobs), numbers(wanted.logprobs), atol=1e-4)
