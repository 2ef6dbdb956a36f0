"""Where the time of one answer went."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

STAGES = ("decode_image", "preprocess", "vision", "prefill", "decode")


class Stopwatch:
    """Adds up milliseconds per stage; a stage never entered stays at zero."""

    def __init__(
        self, clock: Callable[[], float] = time.perf_counter, stages: tuple[str, ...] = STAGES
    ) -> None:
        self.clock = clock
        self._started = clock()
        self._spent = dict.fromkeys(stages, 0.0)

    @contextmanager
    def time(self, stage: str) -> Iterator[None]:
        start = self.clock()
        try:
            yield
        finally:
            self.add(stage, self.clock() - start)

    def add(self, stage: str, seconds: float) -> None:
        """Time that was taken elsewhere."""
        assert stage in self._spent, f"{stage} is not a stage"
        self._spent[stage] += seconds

    def timings_ms(self) -> dict[str, float]:
        """Every stage, and `total` since the watch was made."""
        spent = {**self._spent, "total": self.clock() - self._started}
        return {stage: round(seconds * 1000, 3) for stage, seconds in spent.items()}
