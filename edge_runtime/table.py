"""The embedding table: one row for each token id, on disk until it is asked for."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from edge_runtime.backends.backend import Array, Ints


class Table(Protocol):
    """What a mapped float array is by itself."""

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """Of the rows."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and width."""

    def __getitem__(self, ids: int | Ints) -> Array:
        """(D) for one id, (N, D) for several."""


class Int8Table:
    """Bytes (rows, D) and one scale a row; rows are made float, in the scales' type, when they are asked for."""

    def __init__(self, integers: Array, scales: Array) -> None:
        assert integers.dtype == np.int8 and scales.shape == integers.shape[:1]
        self._integers, self._scales = integers, scales

    @property
    def dtype(self) -> np.dtype[np.generic]:
        return self._scales.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        return self._integers.shape

    def __getitem__(self, ids: int | Ints) -> Array:
        scales = self._scales[ids].astype(np.float32)
        rows: Array = (self._integers[ids].astype(np.float32) * scales[..., None]).astype(self.dtype)
        return rows
