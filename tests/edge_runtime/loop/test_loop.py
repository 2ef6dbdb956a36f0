"""Several answers at once: the tokens of one at a time, whoever comes, goes or fails meanwhile."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from edge_runtime.answer import Answer
from edge_runtime.assistant import Assistant
from edge_runtime.backends.ort import OrtBackend
from edge_runtime.bundle import Bundle
from edge_runtime.constraint import Choice, Regex
from edge_runtime.errors import EdgeVLError, MachineFault
from edge_runtime.loop.loop import Limits, Loop
from edge_runtime.request import Request
from edge_runtime.sampling import Sampling
from tests.edge_runtime.loop.asking import TEXTS, answers_of, asked_alone, question, run_out


def test_answers_given_together_are_those_given_one_by_one(
    loop: Loop, bundle: Bundle, alone: Assistant
) -> None:
    cases = [(text, seed) for text in TEXTS[:4] for seed in (None, 1)]
    found = answers_of(loop, [loop.submit(question(bundle, *case)) for case in cases])
    for (text, seed), answer in zip(cases, found, strict=True):
        wanted = asked_alone(alone, text, seed)
        assert (answer.token_ids, answer.text) == (wanted.token_ids, wanted.text)
        assert answer.finish_reason == wanted.finish_reason
    assert (loop.waiting, loop.running) == (0, 0)


@pytest.mark.parametrize("sampling", [Sampling(temperature=0.8, seed=3), Sampling(repetition_penalty=1.2)])
def test_what_is_drawn_together_is_what_is_drawn_alone(
    loop: Loop, bundle: Bundle, alone: Assistant, sampling: Sampling
) -> None:
    request = Request(max_tokens=8, sampling=sampling)
    found = answers_of(loop, [loop.submit(question(bundle, text, None, request)) for text in TEXTS[:3]])
    wanted = [asked_alone(alone, text, None, request) for text in TEXTS[:3]]
    assert [each.token_ids for each in found] == [each.token_ids for each in wanted]


def test_constrained_and_free_answers_are_given_side_by_side(
    loop: Loop, bundle: Bundle, alone: Assistant
) -> None:
    requests = [
        Request(max_tokens=40, constraint=Choice(("a red lamp", "a green boat"))),
        Request(max_tokens=12),
        Request(max_tokens=30, constraint=Regex("[0-9]{3}-[0-9]{2}")),
    ]
    found = answers_of(loop, [loop.submit(question(bundle, TEXTS[0], None, each)) for each in requests])
    assert found[0].text in ("a red lamp", "a green boat") and re.fullmatch(
        "[0-9]{3}-[0-9]{2}", found[2].text
    )
    wanted = [asked_alone(alone, TEXTS[0], None, each) for each in requests]
    assert [each.token_ids for each in found] == [each.token_ids for each in wanted]
    assert [each.finish_reason for each in found] == [each.finish_reason for each in wanted]


def test_pieces_are_told_as_they_become_certain_and_are_the_text(loop: Loop, bundle: Bundle) -> None:
    ticket = loop.submit(question(bundle, TEXTS[0]))
    run_out(loop)
    pieces = list(ticket.pieces())
    assert len(pieces) > 1 and "".join(pieces) == ticket.answer.text


def test_a_second_question_about_a_picture_pays_for_its_own_tokens(loop: Loop, bundle: Bundle) -> None:
    (first,) = answers_of(loop, [loop.submit(question(bundle, TEXTS[0], 5))])
    (second,) = answers_of(loop, [loop.submit(question(bundle, TEXTS[1], 5))])
    assert first.usage.cached_tokens == 0
    assert second.usage.cached_tokens >= second.usage.image_tokens > 0
    assert second.timings_ms["preprocess"] == 0.0


def test_what_is_being_said_goes_on_while_a_long_prompt_is_read(bundle: Bundle) -> None:
    backend = OrtBackend(bundle, threads=1)
    loop = Loop(bundle, backend, Limits(slots=2))
    for sequence in loop._rows.sequences:
        sequence.chunk_tokens = 8
    talking = loop.submit(question(bundle, TEXTS[0], request=Request(max_tokens=200)))
    while not loop._runs or not loop._runs[0].is_decoding:
        assert loop.work()
    loop.submit(question(bundle, "word " * 30))
    said = len(loop._runs[0].saying.ids)
    works = 0
    while not all(run.is_decoding for run in loop._runs) or len(loop._runs) < 2:
        assert loop.work()
        works += 1
    (talk,) = [run for run in loop._runs if run.ticket is talking]
    assert works > 10 and len(talk.saying.ids) - said >= works // 2 - 1
    backend.close()


def test_a_short_prompt_does_not_wait_for_the_whole_of_a_long_one(bundle: Bundle) -> None:
    backend = OrtBackend(bundle, threads=1)
    loop = Loop(bundle, backend, Limits(slots=2))
    for sequence in loop._rows.sequences:
        sequence.chunk_tokens = 8
    long, short = loop.submit(question(bundle, "word " * 60)), loop.submit(question(bundle, "why?"))
    order = []
    while not (long in order and short in order):
        assert loop.work()
        order += [run.ticket for run in loop._runs if run.is_decoding and run.ticket not in order]
        order += [each for each in (long, short) if each not in order and not each._events.empty()]
    assert order[0] is short
    backend.close()


def test_who_goes_away_is_dropped_before_the_next_step(loop: Loop, bundle: Bundle) -> None:
    tickets = [loop.submit(question(bundle, text, 1, Request(max_tokens=60))) for text in TEXTS]
    while loop.running < 3 or not all(run.is_decoding for run in loop._runs):
        assert loop.work()
    for ticket in tickets:
        ticket.cancel()
    assert loop.work() is False
    assert (loop.waiting, loop.running, loop._rows.free_count) == (0, 0, 3)


def test_who_goes_away_between_two_pictures_costs_no_second(loop: Loop, bundle: Bundle) -> None:
    ticket = loop.submit(question(bundle, TEXTS[0], 7))
    ticket.cancel()
    assert loop.work() is False
    assert not loop._reader._vision._known


def test_who_goes_away_while_waiting_makes_room_though_nobody_is_done(loop: Loop, bundle: Bundle) -> None:
    tickets = [loop.submit(question(bundle, TEXTS[0], request=Request(max_tokens=60))) for _ in range(3)]
    while loop.running < 3:
        assert loop.work()
    late = [loop.submit(question(bundle, TEXTS[1])) for _ in range(8)]
    for ticket in late:
        ticket.cancel()
    loop.work()
    assert (loop.waiting, loop.running) == (0, 3)
    for ticket in tickets:
        ticket.cancel()
    assert loop.work() is False


@pytest.mark.parametrize("before", [0, 2, 3])
def test_as_many_are_let_in_as_are_answered_and_may_wait_however_far_the_loop_has_come(
    loop: Loop, bundle: Bundle, before: int
) -> None:
    for _ in range(before):
        loop.submit(question(bundle, TEXTS[0], request=Request(max_tokens=60)))
    if before:
        assert loop.work()
    assert loop.running == before
    for _ in range(11 - before):
        loop.submit(question(bundle, TEXTS[0]))
    with pytest.raises(EdgeVLError) as caught:
        loop.submit(question(bundle, TEXTS[0]))
    assert (caught.value.code, caught.value.why) == ("EVL-LOOP-FULL", "8 wait already")


def test_free_slots_have_room_for_long_questions_too(bundle: Bundle) -> None:
    backend = OrtBackend(bundle, threads=1)
    loop = Loop(bundle, backend, Limits(slots=2, waiting=8, waiting_tokens=200))
    for _ in range(2):
        loop.submit(question(bundle, "word " * 60))
    loop.submit(question(bundle, "a", request=Request(max_tokens=2)))
    assert loop.work()
    assert (loop.running, loop.waiting) == (2, 1)
    with pytest.raises(EdgeVLError, match="1 wait already"):
        loop.submit(question(bundle, "word " * 60))
    backend.close()


def test_those_who_went_away_take_nobody_s_room_while_the_loop_is_busy(loop: Loop, bundle: Bundle) -> None:
    gone = [loop.submit(question(bundle, TEXTS[0], request=Request(max_tokens=60))) for _ in range(3)]
    assert loop.work()
    gone += [loop.submit(question(bundle, TEXTS[0])) for _ in range(8)]
    for ticket in gone:
        ticket.cancel()
    for _ in range(11):
        loop.submit(question(bundle, TEXTS[0]))
    with pytest.raises(EdgeVLError, match="8 wait already"):
        loop.submit(question(bundle, TEXTS[0]))


def test_what_does_not_fit_is_refused_at_once(loop: Loop, bundle: Bundle) -> None:
    with pytest.raises(EdgeVLError) as caught:
        loop.submit(question(bundle, "word " * 600))
    assert caught.value.code == "EVL-CONTEXT-OVERFLOW"


def test_a_fault_of_the_engine_is_told_to_all_it_touched_and_the_loop_goes_on(
    loop: Loop, bundle: Bundle, alone: Assistant, monkeypatch: pytest.MonkeyPatch
) -> None:
    tickets = [loop.submit(question(bundle, text)) for text in TEXTS[:2]]
    while loop.running < 2 or not all(run.is_decoding for run in loop._runs):
        assert loop.work()
    fault = MachineFault("EVL-ENGINE-RUN", "the engine stopped", "a test pulled the plug", "plug it in")
    with monkeypatch.context() as patch:
        patch.setattr(loop._rows, "step", lambda tokens: (_ for _ in ()).throw(fault))
        run_out(loop)
    for ticket in tickets:
        with pytest.raises(MachineFault):
            ticket.answer  # noqa: B018
    (again,) = answers_of(loop, [loop.submit(question(bundle, TEXTS[0]))])
    assert again.token_ids == asked_alone(alone, TEXTS[0], None).token_ids
    assert again.usage.cached_tokens == 0, "of what a fault left in the cache nobody knows"


def test_a_fault_of_those_who_are_answered_does_not_touch_who_still_shows_a_picture(
    loop: Loop, bundle: Bundle, alone: Assistant, monkeypatch: pytest.MonkeyPatch
) -> None:
    tickets = [loop.submit(question(bundle, text)) for text in TEXTS[:2]]
    while loop.running < 2 or not all(run.is_decoding for run in loop._runs):
        assert loop.work()
    late = loop.submit(question(bundle, TEXTS[2], seed=1))
    loop.work()
    assert [run.embedded is None for run in loop._runs].count(True) == 1
    fault = MachineFault("EVL-ENGINE-RUN", "the engine stopped", "a test pulled the plug", "plug it in")
    with monkeypatch.context() as patch:
        patch.setattr(loop._rows, "step", lambda tokens: (_ for _ in ()).throw(fault))
        while any(run.is_decoding for run in loop._runs):
            loop.work()
    for ticket in tickets:
        with pytest.raises(MachineFault):
            ticket.answer  # noqa: B018
    (answer,) = answers_of(loop, [late])
    assert answer.token_ids == asked_alone(alone, TEXTS[2], 1).token_ids


def test_a_gpu_that_is_lost_ends_the_loop_when_it_is_told(
    loop: Loop, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticket = loop.submit(question(bundle, TEXTS[0]))
    fault = MachineFault("EVL-GPU-FAULT", "the GPU failed", "illegal address", "look at the log")
    monkeypatch.setattr(loop._reader, "read", lambda run: (_ for _ in ()).throw(fault))
    with pytest.raises(MachineFault, match="EVL-GPU-FAULT"):
        loop.serve(lambda: False)
    with pytest.raises(MachineFault, match="EVL-GPU-FAULT"):
        ticket.answer  # noqa: B018


def test_pictures_are_hashed_while_others_are_answered(
    loop: Loop, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = list[bool]()

    def looked(picture: object) -> bytes:
        held.append(loop._changed.acquire(blocking=False))
        if held[-1]:
            loop._changed.release()
        return b"digest"

    asked = question(bundle, TEXTS[0], seed=1)
    monkeypatch.setattr("edge_runtime.loop.run.digest_of", lambda picture: in_thread(lambda: looked(picture)))
    loop.submit(asked)
    assert held == [True]


def in_thread(work: Callable[[], bytes]) -> bytes:
    """A condition's own thread could take it again."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result(10)


def test_questions_from_many_threads_are_all_answered(bundle: Bundle, alone: Assistant) -> None:
    backend = OrtBackend(bundle, threads=1)
    loop, stop = Loop(bundle, backend, Limits(slots=3, waiting=64)), threading.Event()
    worker = threading.Thread(target=loop.serve, args=(stop.is_set,))
    worker.start()
    found: dict[int, Answer] = {}

    def ask(number: int) -> None:
        found[number] = loop.submit(question(bundle, TEXTS[number % 5], number % 2)).answer

    askers = [threading.Thread(target=ask, args=(number,)) for number in range(10)]
    for each in askers:
        each.start()
    for each in askers:
        each.join(60)
    stop.set()
    worker.join(10)
    assert not worker.is_alive() and sorted(found) == list(range(10))
    for number, answer in found.items():
        assert answer.token_ids == asked_alone(alone, TEXTS[number % 5], number % 2).token_ids
    backend.close()


def test_no_slots_is_no_loop(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nobody can be answered"):
        Limits(slots=0)
