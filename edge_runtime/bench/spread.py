"""A measured figure: the middle of several runs, and how far they lay apart."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass

from edge_runtime.spec import check

DIGITS = 3  # of milliseconds: a microsecond


@dataclass(frozen=True)
class Spread:
    """Median, lowest and highest of `runs` runs."""

    median: float
    low: float
    high: float
    runs: int

    def __post_init__(self) -> None:
        check(self.runs > 0, "a figure needs at least one run")
        check(self.low <= self.median <= self.high, "a median lies between the lowest and the highest")


def spread_of(values: Iterable[float]) -> Spread:
    found = [round(value, DIGITS) for value in values]
    return Spread(round(statistics.median(found), DIGITS), min(found), max(found), len(found))
