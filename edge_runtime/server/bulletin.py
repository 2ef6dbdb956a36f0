"""What the service manager is told in the course of time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from edge_runtime.errors import MachineFault
from edge_runtime.server.engine import Engine
from edge_runtime.server.notify import Liveness, Notifier, Watchdog

STATUS_S = 1.0


class Bulletin:
    """A service manager that cannot be told is told of to `note`, once: the server goes on without it."""

    def __init__(
        self, engine: Engine, notifier: Notifier, patience_s: float, note: Callable[[str], None]
    ) -> None:
        self._engine, self._notifier, self._note = engine, notifier, note
        liveness = Liveness(moving_s=patience_s, absent_s=patience_s)
        self._watchdog = Watchdog(notifier, liveness, lambda: (engine.health, engine.state))
        self._status = ""
        self._is_heard, self._is_stopping = True, False

    def ready(self) -> None:
        self._status = self._words()
        self._tell(lambda: self._notifier.ready(self._status))

    def reloading(self) -> None:
        self._tell(self._notifier.reloading)

    def stopping(self) -> None:
        self._is_stopping = True
        self._tell(lambda: self._notifier.stopping("answers under way may end"))

    async def run(self) -> None:
        """Until it is cancelled."""
        watchdog_s = self._notifier.watchdog_s
        while True:
            self._tell(self._look)
            await asyncio.sleep(STATUS_S if watchdog_s is None else min(STATUS_S, watchdog_s / 2))

    def _look(self) -> None:
        if self._notifier.watchdog_s is not None:
            self._watchdog.beat()
        if (words := self._words()) != self._status and not self._is_stopping:
            self._status = words
            self._notifier.status(words)

    def _words(self) -> str:
        health, state = self._engine.health, self._engine.state
        if health.condition == "ready":
            return f"ready: {state.running} answered, {state.waiting} waiting"
        return f"{health.condition}: {health.why}"

    def _tell(self, say: Callable[[], None]) -> None:
        try:
            say()
        except MachineFault as fault:
            if self._is_heard:
                self._note(str(fault))
            self._is_heard = False
        else:
            self._is_heard = True
