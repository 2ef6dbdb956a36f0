"""The worker's pulse: how it is, told several times a second, from a thread of its own."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from threading import Event, Thread

from edge_runtime.loop.loop import Loop
from edge_runtime.server.engine import EngineState
from edge_runtime.server.wire import Message
from edge_runtime.server.worker.desk import Desk

BEAT_S = 0.1
REST_S = 1.0  # how often it is told what has not changed


class Pulse:
    """`read` gives what is told; None while there is nothing but being alive."""

    def __init__(self, send: Callable[[Message], None], clock: Callable[[], float] = time.monotonic) -> None:
        self.read: Callable[[], EngineState] | None = None
        self._send = send
        self._clock = clock
        self._stopped = Event()
        self._last: EngineState | None = None
        self._told_at = clock() - REST_S
        self._thread = Thread(target=self._beat, name="pulse", daemon=True)

    def __enter__(self) -> Pulse:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def look(self) -> None:
        """Tells what has changed, or that nothing has, when that was not said for a while."""
        state, now = self.read and self.read(), self._clock()
        if state == self._last and now - self._told_at < REST_S:
            return
        self._last, self._told_at = state, now
        self._send(Message("state", {} if state is None else asdict(state)))

    def _beat(self) -> None:
        while not self._stopped.wait(BEAT_S):
            self.look()


class Vitals:
    """The state of a loop and of the desk before it."""

    def __init__(self, loop: Loop, desk: Desk, clock: Callable[[], float] = time.monotonic) -> None:
        self._loop = loop
        self._desk = desk
        self._clock = clock
        self._progressed, self._ended = loop.progressed, desk.ended
        self._moved_at = clock()

    def state(self) -> EngineState:
        loop, now = self._loop, self._clock()
        running, queued = loop.running, loop.waiting
        waiting = queued + self._desk.coming
        is_idle = running + waiting == 0
        if is_idle or self._has_moved(is_loop_idle=running + queued == 0):
            self._moved_at = now
        return EngineState(
            running=running,
            waiting=waiting,
            cache_share=round(loop.cache_share, 4),
            said=loop.said,
            last_token_age_s=None if is_idle else round(now - self._moved_at, 2),
            prompt_tokens=loop.prompt_tokens,
            cached_tokens=loop.cached_tokens,
            pictures=loop.pictures,
            known_pictures=loop.known_pictures,
            drafted=loop.drafted,
            accepted=loop.accepted,
        )

    def _has_moved(self, is_loop_idle: bool) -> bool:
        """Since the last look. What the desk does, refusing questions among it, counts only while the loop has nothing to
        do: else it would hide a loop that hangs."""
        progressed, ended = self._loop.progressed, self._desk.ended
        has_moved = progressed != self._progressed or (is_loop_idle and ended != self._ended)
        self._progressed, self._ended = progressed, ended
        return has_moved
