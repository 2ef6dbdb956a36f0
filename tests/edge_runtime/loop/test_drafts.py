"""Answers are guessed ahead where one is given alone, and stay what they are."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from edge_runtime.assistant import Assistant
from edge_runtime.backends.ort import OrtBackend
from edge_runtime.backends.provider import CPU
from edge_runtime.bundle import Bundle
from edge_runtime.constraint import Regex
from edge_runtime.draft import DraftRules
from edge_runtime.loop.loop import Limits, Loop
from edge_runtime.loop.pace import rules_for
from edge_runtime.request import Request
from edge_runtime.sampling import Sampling
from tests.edge_runtime.loop.asking import TEXTS, answers_of, asked_alone, picture, question, run_out

LONG = Request(max_tokens=120)
EAGER = DraftRules(shortest=1)


@pytest.fixture
def guessing(bundle: Bundle) -> Iterator[Loop]:
    backend = OrtBackend(bundle, threads=1)
    yield Loop(bundle, backend, Limits(slots=2, waiting=8), drafts=EAGER)
    backend.close()


@pytest.mark.parametrize(
    "request_",
    [
        LONG,
        Request(max_tokens=60, sampling=Sampling(temperature=0.7, seed=5)),
        Request(max_tokens=60, sampling=Sampling(repetition_penalty=1.1)),
        Request(max_tokens=60, constraint=Regex("(ab|cd){1,20}")),
        Request(max_tokens=60, stop=("e",)),
    ],
    ids=["greedy", "drawn", "penalised", "constrained", "stopped"],
)
def test_an_answer_that_is_guessed_ahead_is_the_one_that_is_not(
    guessing: Loop, bundle: Bundle, alone: Assistant, request_: Request
) -> None:
    for text, seed in ((TEXTS[0], None), (TEXTS[3], 1)):
        (found,) = answers_of(guessing, [guessing.submit(question(bundle, text, seed, request_))])
        wanted = asked_alone(alone, text, seed, request_)
        assert (found.token_ids, found.text, found.usage.completion_tokens) == (
            wanted.token_ids, wanted.text, wanted.usage.completion_tokens,
        )  # fmt: skip
        assert found.finish_reason == wanted.finish_reason


def test_right_guesses_save_work_and_are_counted(guessing: Loop, bundle: Bundle) -> None:
    ticket = guessing.submit(question(bundle, TEXTS[0], request=LONG))
    works = run_out(guessing)
    assert guessing.drafted >= guessing.accepted > 0
    assert guessing.said == len(ticket.answer.token_ids) == 120
    assert works == guessing.progressed
    steps = guessing.said - 1 - guessing.accepted  # the first token comes with the prompt's last piece
    assert steps < works <= steps + -(-len(ticket.question.prompt) // rules_for(CPU.engine).least)


def test_what_was_guessed_wrong_is_not_taken_for_the_conversation(
    guessing: Loop, bundle: Bundle, alone: Assistant
) -> None:
    for text in (TEXTS[0], TEXTS[0], TEXTS[1], TEXTS[0]):
        (found,) = answers_of(guessing, [guessing.submit(question(bundle, text, request=LONG))])
        assert found.token_ids == asked_alone(alone, text, None, LONG).token_ids


def test_nothing_is_guessed_while_two_are_answered(guessing: Loop, bundle: Bundle) -> None:
    for text in TEXTS[:2]:
        guessing.submit(question(bundle, text, request=LONG))
    while guessing.decoding < 2:
        assert guessing.work()
    before = guessing.drafted
    while guessing.decoding == 2:
        assert guessing.work()
    assert guessing.drafted == before


def test_an_assistant_guesses_ahead_as_a_loop_does(bundle: Bundle, alone: Assistant) -> None:
    with Assistant(bundle, OrtBackend(bundle, threads=1), drafts=EAGER) as assistant:
        steps, decoder = [], assistant._parts.sequence.decoder  # type: ignore[union-attr]
        step = decoder.step
        decoder.step = lambda *fed: steps.append(1) or step(*fed)  # type: ignore[method-assign, func-returns-value]
        stream = assistant.stream(TEXTS[0], picture(1), request=LONG)
        pieces, wanted = list(stream), asked_alone(alone, TEXTS[0], 1, LONG)
        assert stream.answer.token_ids == wanted.token_ids
        assert "".join(pieces) == stream.answer.text == wanted.text
        assert len(steps) < len(wanted.token_ids)
