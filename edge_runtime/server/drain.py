"""How a server ends: it says so, waits, and lets nobody go without a last word."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from edge_runtime.server.waiting import first_of


class Guests(Protocol):
    """Those who are connected, and the way in."""

    @property
    def under_way(self) -> int:
        """Requests that are not answered to their end."""

    def close(self) -> None:
        """Nobody comes in any more; who asks nothing is shown out, who is being answered stays until then."""

    async def left(self) -> None:
        """Returns when nobody is connected any more."""

    def cut(self) -> None:
        """Whoever is still connected is not, from now on."""


@dataclass(frozen=True)
class DrainTimes:
    """`notice_s`: not ready, still open. `timeout_s`: closed, answers go on. `farewell_s`: they were broken off, and the
    words about it are on their way."""

    notice_s: float = 2.0
    timeout_s: float = 30.0
    farewell_s: float = 2.0


class Drain:
    """Whether the server is about to end, and how soon."""

    def __init__(self) -> None:
        self._begun = asyncio.Event()
        self._hurried = asyncio.Event()

    @property
    def is_draining(self) -> bool:
        return self._begun.is_set()

    @property
    def is_hurried(self) -> bool:
        return self._hurried.is_set()

    def begin(self) -> None:
        """A second time there is no more waiting."""
        if self._begun.is_set():
            self._hurried.set()
        self._begun.set()

    async def begun(self) -> None:
        await self._begun.wait()

    async def ended(
        self, guests: Guests, times: DrainTimes, stop_engine: Callable[[], Awaitable[None]]
    ) -> int:
        """How many requests were broken off: those are told so by the engine, which is stopped in any case."""
        await first_of(self._hurried.wait(), limit_s=times.notice_s)
        guests.close()
        await first_of(guests.left(), self._hurried.wait(), limit_s=times.timeout_s)
        broken_off = guests.under_way
        stopping = asyncio.ensure_future(stop_engine())
        await first_of(guests.left(), limit_s=times.farewell_s)
        guests.cut()
        await stopping
        return broken_off
