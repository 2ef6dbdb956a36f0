"""The end of a server: what happens in which order, and who waits for whom."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from edge_runtime.server.drain import Drain, DrainTimes

LONG_S = 60.0
NOW = DrainTimes(notice_s=0, timeout_s=0, farewell_s=0)


class FakeGuests:
    """Leave when the test says so, or when the engine stops if that is what ends them."""

    def __init__(self, told: list[str], under_way: int = 0) -> None:
        self.told = told
        self.under_way = under_way
        self.gone = asyncio.Event()
        self.closed = asyncio.Event()
        if not under_way:
            self.gone.set()

    def close(self) -> None:
        self.told.append("closed")
        self.closed.set()

    async def left(self) -> None:
        await self.gone.wait()
        self.under_way = 0

    def cut(self) -> None:
        self.told.append("cut")


def stopper(told: list[str], then: Callable[[], None] = lambda: None) -> Callable[[], asyncio.Future[None]]:
    async def stop() -> None:
        told.append("engine stopped")
        then()

    return lambda: asyncio.ensure_future(stop())


def test_not_ready_is_said_at_once_and_the_door_stays_open_for_the_notice() -> None:
    async def run() -> None:
        told: list[str] = []
        drain, guests = Drain(), FakeGuests(told)
        drain.begin()
        assert drain.is_draining
        ending = asyncio.ensure_future(drain.ended(guests, DrainTimes(notice_s=0.1), stopper(told)))
        done, _ = await asyncio.wait([ending], timeout=0.02)
        assert (done, told) == (set(), [])
        assert await ending == 0
        assert told == ["closed", "engine stopped", "cut"]

    asyncio.run(run())


def test_it_ends_as_soon_as_the_last_answer_does() -> None:
    async def run() -> None:
        told: list[str] = []
        drain, guests = Drain(), FakeGuests(told, under_way=2)
        drain.begin()
        ending = asyncio.ensure_future(drain.ended(guests, DrainTimes(0, LONG_S, LONG_S), stopper(told)))
        await guests.closed.wait()
        assert told == ["closed"]
        guests.gone.set()
        assert await asyncio.wait_for(ending, 5) == 0
        assert told == ["closed", "engine stopped", "cut"]

    asyncio.run(run())


def test_after_the_time_the_engine_breaks_answers_off_before_anybody_is_cut() -> None:
    async def run() -> None:
        told: list[str] = []
        drain, guests = Drain(), FakeGuests(told, under_way=2)
        drain.begin()
        times = DrainTimes(0, 0.01, LONG_S)
        broken_off = await asyncio.wait_for(drain.ended(guests, times, stopper(told, guests.gone.set)), 5)
        assert broken_off == 2
        assert told == ["closed", "engine stopped", "cut"]

    asyncio.run(run())


def test_whoever_does_not_hear_the_last_words_is_cut() -> None:
    async def run() -> None:
        told: list[str] = []
        drain, guests = Drain(), FakeGuests(told, under_way=1)
        drain.begin()
        assert await asyncio.wait_for(drain.ended(guests, NOW, stopper(told)), 5) == 1
        assert told[-1] == "cut"

    asyncio.run(run())


def test_a_second_time_nothing_is_waited_for() -> None:
    async def run() -> None:
        told: list[str] = []
        drain, guests = Drain(), FakeGuests(told, under_way=1)
        drain.begin()
        ending = asyncio.ensure_future(drain.ended(guests, DrainTimes(LONG_S, LONG_S, 0), stopper(told)))
        await asyncio.sleep(0)
        assert told == []
        drain.begin()
        assert await asyncio.wait_for(ending, 5) == 1
        assert told == ["closed", "engine stopped", "cut"]

    asyncio.run(run())


def test_whoever_waits_for_the_beginning_is_told_of_it() -> None:
    async def run() -> None:
        drain = Drain()
        waiting = asyncio.ensure_future(drain.begun())
        await asyncio.sleep(0)
        assert not waiting.done()
        drain.begin()
        await asyncio.wait_for(waiting, 5)

    asyncio.run(run())
