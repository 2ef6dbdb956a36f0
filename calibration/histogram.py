"""How often magnitudes of every size came up, however many samples there were."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

BINS = 2048
CHUNK_ELEMENTS = 4 << 20

Counts = npt.NDArray[np.int64]


class Histogram:
    """Of |x|, in `BINS` bins from zero on. Their width is a power of two, just wide enough for the largest value so far.

    Widths double by joining neighbours, so the order in which samples come, and how they are cut, changes nothing.
    """

    def __init__(self) -> None:
        self.counts: Counts = np.zeros(BINS, np.int64)
        self.largest = 0.0
        self._exponent: int | None = None  # of the width; None until something is not zero
        self._zeros = 0

    @property
    def width(self) -> float:
        return 0.0 if self._exponent is None else math.ldexp(1.0, self._exponent)

    @property
    def total(self) -> int:
        return int(self.counts.sum()) + self._zeros

    @property
    def middles(self) -> npt.NDArray[np.float64]:
        middles: npt.NDArray[np.float64] = (np.arange(BINS, dtype=np.float64) + 0.5) * self.width
        return middles

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """All that was counted so far, for `restore`."""
        exponent = [] if self._exponent is None else [self._exponent]
        rest = {"largest": np.array(self.largest), "zeros": np.array(self._zeros)}
        return {"counts": self.counts, "exponent": np.array(exponent, np.int64), **rest}

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        exponent = state["exponent"].tolist()
        self.counts, self.largest = state["counts"], float(state["largest"])
        self._exponent, self._zeros = (exponent[0] if exponent else None), int(state["zeros"])

    def add(self, values: npt.NDArray[Any]) -> None:
        """Only finite values; whoever adds them has looked."""
        flat = values.reshape(-1)
        for start in range(0, flat.size, CHUNK_ELEMENTS):
            self._add(np.abs(flat[start : start + CHUNK_ELEMENTS]).astype(np.float32, copy=False))

    def _add(self, magnitudes: npt.NDArray[np.float32]) -> None:
        largest = float(magnitudes.max(initial=0.0))
        assert math.isfinite(largest), "a histogram of finite values"
        if largest == 0.0:
            self._zeros += magnitudes.size
            return
        self._widen(exponent_for(largest))
        assert self._exponent is not None
        # A product with a power of two is exact: no value lands in a neighbour's bin.
        bins = np.ldexp(magnitudes, -self._exponent).astype(np.int32)
        found = np.bincount(bins, minlength=BINS)
        zeros = magnitudes.size - int(np.count_nonzero(magnitudes))
        found[0] -= zeros
        self.counts += found
        self._zeros += zeros
        self.largest = max(self.largest, largest)

    def _widen(self, exponent: int) -> None:
        if self._exponent is not None and exponent > self._exponent:
            joined = 1 << min(exponent - self._exponent, BINS.bit_length() - 1)
            narrow = self.counts.reshape(-1, joined).sum(axis=1)
            self.counts = np.zeros(BINS, np.int64)
            self.counts[: narrow.size] = narrow
        self._exponent = exponent if self._exponent is None else max(exponent, self._exponent)


def exponent_for(largest: float) -> int:
    """Of the narrowest width whose bins reach beyond `largest`."""
    return math.frexp(largest)[1] - (BINS.bit_length() - 1)
