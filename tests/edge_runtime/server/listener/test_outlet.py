"""The way out to a client, and when it is given up on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from edge_runtime.server.listener.outlet import Outlet, Timer


class FakeTransport(asyncio.Transport):
    """Keeps what is written until the test says that the client read it."""

    def __init__(self) -> None:
        super().__init__()
        self.left = 0
        self.is_aborted = False

    def write(self, data: Any) -> None:
        self.left += len(data)

    def get_write_buffer_size(self) -> int:
        return self.left

    def abort(self) -> None:
        self.is_aborted = True

    def close(self) -> None:
        """As a real one: what is left is still sent."""


@dataclass
class FakeTimer:
    run: Callable[[], None]
    is_over: bool = False

    def cancel(self) -> None:
        self.is_over = True


@dataclass
class Case:
    """An outlet that looks every 10 s for 1000 bytes a second, whenever the test says that the time is up."""

    inner: FakeTransport = field(default_factory=FakeTransport)
    timers: list[FakeTimer] = field(default_factory=list)
    stalls: int = 0

    def __post_init__(self) -> None:
        self.outlet = Outlet(self.inner, self.call_later, 10.0, 1000, self.stalled)

    def call_later(self, delay: float, callback: Callable[[int], None], before: int, /) -> Timer:
        assert delay == 10.0
        self.timers.append(FakeTimer(lambda: callback(before)))
        return self.timers[-1]

    def stalled(self) -> None:
        self.stalls += 1

    def look(self) -> None:
        timer = self.timers[-1]
        assert not timer.is_over
        timer.is_over = True
        timer.run()

    @property
    def is_looking(self) -> bool:
        return any(not timer.is_over for timer in self.timers)


def test_a_client_that_reads_nothing_is_given_up_on_also_after_the_end() -> None:
    case = Case()
    case.outlet.write(b"x" * 50_000)
    case.outlet.close()
    case.look()
    assert (case.inner.is_aborted, case.stalls, case.is_looking) == (True, 1, False)


def test_a_client_that_reads_less_than_it_must_is_given_up_on() -> None:
    case = Case()
    case.outlet.write(b"x" * 50_000)
    case.inner.left -= 9_999
    case.look()
    assert case.inner.is_aborted


def test_a_client_that_reads_as_much_as_it_must_is_looked_at_again() -> None:
    case = Case()
    case.outlet.write(b"x" * 25_000)
    for _ in range(2):
        case.inner.left -= 10_000
        case.look()
        assert (case.inner.is_aborted, case.is_looking) == (False, True)


def test_what_counts_is_what_went_out_and_not_what_is_left() -> None:
    case = Case()
    case.outlet.write(b"x" * 50_000)
    for _ in range(3):
        case.inner.left -= 20_000
        case.outlet.write(b"x" * 20_000)
        case.look()
    assert not case.inner.is_aborted
    case.outlet.write(b"x" * 20_000)
    case.look()
    assert case.inner.is_aborted


def test_a_client_that_has_read_everything_is_not_looked_at_until_it_is_written_to_again() -> None:
    case = Case()
    case.outlet.write(b"x" * 500)
    case.inner.left = 0
    case.look()
    assert (case.inner.is_aborted, case.is_looking) == (False, False)
    case.outlet.write(b"x")
    assert case.is_looking


def test_only_one_look_is_ever_under_way() -> None:
    case = Case()
    case.outlet.write(b"x")
    case.outlet.writelines([b"y", b"z"])
    assert (len(case.timers), case.inner.left) == (1, 3)


def test_a_lost_connection_is_not_looked_at() -> None:
    case = Case()
    case.outlet.write(b"x")
    case.outlet.stop()
    case.outlet.stop()
    assert not case.is_looking
