"""What the front end counts: questions, what they cost, what was turned away."""

from __future__ import annotations

import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry

from edge_runtime.server.instruments import REASONS, Bounded, Instruments
from edge_runtime.server.totals import Totals
from edge_runtime.server.watch import Watch


class Meter:
    """What is counted here is registered in `registry`, which is this meter's own; `totals` are the engine's."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.registry = CollectorRegistry()
        self.totals = Totals()
        self._instruments = Instruments(self.registry)
        self._clock = clock
        self._reasons = Bounded(REASONS)
        self._codes = Bounded()

    def rejected(self, reason: str) -> None:
        """A request was turned away before it was a question. `reason` is a word of ours, never of a request."""
        self._instruments.rejected.labels(self._reasons(reason)).inc()

    def ignored_fields(self, count: int) -> None:
        """A request had so many fields that nothing was made of."""
        self._instruments.ignored_fields.inc(count)

    def watch(self) -> Watch:
        """Begins with the question."""
        return Watch(self._instruments, self._codes, self._clock)
