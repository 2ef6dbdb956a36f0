"""How far two runs of numbers are apart, summed up in double precision without holding either twice."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

CHUNK = 1 << 20  # numbers in double precision at a time: all logits of a long prompt would be gigabytes


class Difference:
    """Fed pair by pair; the figures are over everything fed so far."""

    def __init__(self) -> None:
        self.count = 0
        self.largest = 0.0
        self.is_equal = True
        self._total = 0.0
        self._reach = 0.0
        self._product, self._square_found, self._square_wanted = 0.0, 0.0, 0.0

    def add(self, found: npt.NDArray[Any], wanted: npt.NDArray[Any]) -> None:
        assert found.shape == wanted.shape, (found.shape, wanted.shape)
        left, right = found.reshape(-1), wanted.reshape(-1)
        for start in range(0, left.size, CHUNK):
            self._add(
                left[start : start + CHUNK].astype(np.float64),
                right[start : start + CHUNK].astype(np.float64),
            )

    def _add(self, found: npt.NDArray[np.float64], wanted: npt.NDArray[np.float64]) -> None:
        apart = np.abs(found - wanted)
        self.count += apart.size
        self.largest = float(np.maximum(self.largest, apart.max()))  # keeps a NaN
        self.is_equal = self.is_equal and bool(np.array_equal(found, wanted))
        self._total += float(apart.sum())
        self._reach = float(np.maximum(self._reach, np.abs(wanted).max()))
        self._product += float(found @ wanted)
        self._square_found += float(found @ found)
        self._square_wanted += float(wanted @ wanted)

    @property
    def mean(self) -> float:
        return self._total / self.count

    @property
    def relative(self) -> float:
        """The largest difference over the largest wanted value."""
        return self.largest / max(self._reach, float(np.finfo(np.float32).tiny))

    @property
    def cosine(self) -> float:
        norm = math.sqrt(self._square_found) * math.sqrt(self._square_wanted)
        if norm == 0:
            return float(self.is_equal)
        return self._product / norm
