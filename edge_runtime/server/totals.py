"""What workers counted, one after the other: every worker begins at nothing, the sum never falls."""

from __future__ import annotations

from collections.abc import Mapping

from edge_runtime.server.engine import EngineState

COUNTED = ("said", "prompt_tokens", "cached_tokens", "pictures", "known_pictures", "drafted", "accepted")


class Totals:
    """Knows what it was shown: what a worker counted after the last look and before its end is missing."""

    def __init__(self) -> None:
        self._before = dict.fromkeys(COUNTED, 0)
        self._now = dict.fromkeys(COUNTED, 0)
        self._restarts = 0

    def seen(self, state: EngineState, restarts: int) -> Mapping[str, int]:
        """By the names of `state`. `restarts` tells a new worker that already counted more than the one before."""
        now: dict[str, int] = {name: getattr(state, name) for name in COUNTED}
        if now != self._now:
            has_fallen = any(now[name] < self._now[name] for name in COUNTED)
            if has_fallen or restarts != self._restarts:
                self._before = self._sum()
            self._now, self._restarts = now, restarts
        return self._sum()

    def _sum(self) -> dict[str, int]:
        return {name: self._before[name] + self._now[name] for name in COUNTED}
