"""How the worker is, as it is told."""

from __future__ import annotations

from dataclasses import replace
from queue import SimpleQueue

import pytest

from edge_runtime.loop.loop import Loop
from edge_runtime.server.engine import EngineState
from edge_runtime.server.letters import state_of_body
from edge_runtime.server.wire import Message
from edge_runtime.server.worker.desk import Desk
from edge_runtime.server.worker.pulse import REST_S, Pulse, Vitals


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class StillLoop:
    """What the vitals read of a loop, standing still."""

    running, waiting, progressed, cache_share, said = 1, 2, 7, 0.5, 3
    prompt_tokens = cached_tokens = pictures = known_pictures = drafted = accepted = 0


class EmptyDesk:
    coming = ended = 0


def vitals_of(loop: StillLoop, clock: Clock, desk: EmptyDesk | None = None) -> Vitals:
    for real, double in ((Loop, StillLoop), (Desk, EmptyDesk)):
        assert all(hasattr(real, name) for name in vars(double) if name[0] != "_"), (
            f"it stands in for a {real}"
        )
    return Vitals(loop, desk or EmptyDesk(), clock)  # type: ignore[arg-type]


def test_what_changes_is_told_and_what_does_not_only_now_and_then() -> None:
    clock, sent, state = Clock(), SimpleQueue[Message](), EngineState()
    pulse = Pulse(sent.put, clock)
    pulse.read = lambda: state
    for _ in range(5):
        pulse.look()
    state = replace(state, running=1)
    pulse.look()
    clock.now += REST_S
    pulse.look()
    told = [state_of_body(sent.get_nowait().body).running for _ in range(sent.qsize())]
    assert told == [0, 1, 1]


def test_before_there_is_an_engine_only_being_alive_is_told() -> None:
    sent: SimpleQueue[Message] = SimpleQueue()
    with Pulse(sent.put):
        message = sent.get(timeout=10)
    assert (message.kind, message.body) == ("state", {})


def test_the_age_of_the_last_token_grows_while_nothing_moves() -> None:
    clock, loop = Clock(), StillLoop()
    vitals = vitals_of(loop, clock)
    clock.now += 4.0
    assert vitals.state().last_token_age_s == 4.0
    loop.progressed += 1
    assert vitals.state().last_token_age_s == 0.0


def test_an_idle_engine_has_no_such_age() -> None:
    clock, loop = Clock(), StillLoop()
    loop.running = loop.waiting = 0
    vitals = vitals_of(loop, clock)
    clock.now += 4.0
    assert vitals.state().last_token_age_s is None


def test_questions_that_wait_at_the_desk_wait_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EmptyDesk, "coming", 3)
    assert vitals_of(StillLoop(), Clock()).state().waiting == 5


def busy_desk() -> EmptyDesk:
    desk = EmptyDesk()
    desk.coming = 1
    return desk


def test_questions_that_are_refused_one_after_another_are_no_hang() -> None:
    clock, loop, desk = Clock(), StillLoop(), busy_desk()
    loop.running = loop.waiting = 0
    vitals = vitals_of(loop, clock, desk)
    for _ in range(100):
        clock.now += 4.0
        desk.ended += 1
        assert vitals.state().last_token_age_s == 0.0
    clock.now += 4.0
    assert vitals.state().last_token_age_s == 4.0, "now the desk does nothing either"


@pytest.mark.parametrize(("running", "waiting"), [(1, 0), (0, 1)])
def test_refused_questions_do_not_hide_a_loop_that_hangs(running: int, waiting: int) -> None:
    clock, loop, desk = Clock(), StillLoop(), busy_desk()
    loop.running, loop.waiting = running, waiting
    vitals = vitals_of(loop, clock, desk)
    ages = []
    for _ in range(3):
        clock.now += 4.0
        desk.ended += 1
        ages.append(vitals.state().last_token_age_s)
    assert ages == [4.0, 8.0, 12.0]
