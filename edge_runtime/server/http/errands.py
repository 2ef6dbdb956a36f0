"""Small work of the engine, of words and tokens: in turns, so that questions wait behind one piece of it at most."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from typing import Any, TypeVar

from edge_runtime.server.admission import Admission

T = TypeVar("T")
WAITING = 16
MOST_TOKENS = 1 << 18  # of all of them, by estimate: more than one text of the longest kind


class Errands:
    """The engine does one at a time. It is not told who has left: what it was sent keeps its place until it is done."""

    def __init__(self) -> None:
        self._admission = Admission(1, WAITING, MOST_TOKENS)
        self._turn = asyncio.Lock()
        self._sent: asyncio.Task[Any] | None = None  # asyncio itself would lose sight of it

    async def run(self, tokens: int, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """What `work` returns. Raises Refusal, and what `work` raises. Whoever is cancelled leaves at once."""
        with ExitStack() as place:
            place.enter_context(self._admission.admitted(1, tokens))
            await self._turn.acquire()
            place.callback(self._turn.release)
            sent = self._sent = asyncio.ensure_future(work())
            begun, kept = time.monotonic(), place.pop_all()
            sent.add_done_callback(lambda done: self._end(done, begun, kept))
        return await asyncio.shield(sent)

    def _end(self, done: asyncio.Task[Any], begun: float, kept: ExitStack) -> None:
        self._sent = None
        kept.close()
        if not done.cancelled():
            done.exception()  # asyncio complains of a fault that nobody saw
            self._admission.served(time.monotonic() - begun)
