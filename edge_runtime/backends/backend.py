"""What every engine offers: graphs that run, and a decoder that owns its KV cache."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np
import numpy.typing as npt

from edge_runtime.dialects import Dialect
from edge_runtime.scores import Scores
from edge_runtime.spec import Role

Array = npt.NDArray[np.generic]
Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]


class Graph(Protocol):
    """One role, opened. Inputs are cast to the graph's own types; outputs come back as they are."""

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]: ...

    def launch(self, feeds: Mapping[str, Array]) -> Callable[[], dict[str, Array]]:
        """Begins; the outputs are there when what it returns is called, before the graph is launched again."""


class DecoderGraph(Protocol):
    """The decoder and its cache, (batch, kv_heads, capacity, head_dim) per layer, updated in place."""

    @property
    def batch(self) -> int: ...

    @property
    def capacity(self) -> int: ...

    def row(self, row: int) -> DecoderGraph:
        """One of its sequences alone, in the same cache."""

    def step(self, embeds: Array, write_index: Ints, logit_index: Ints) -> Scores:
        """embeds (B, S, D) take cache rows from write_index (B) on; scores of rows logit_index (B, K)."""


class Backend(Protocol):
    """Opens the graphs of one bundle on one engine."""

    @property
    def name(self) -> str: ...

    @property
    def dialect(self) -> Dialect:
        """Whose graphs of the bundle it runs."""

    def graph(self, role: Role) -> Graph: ...

    def decoder(self, batch: int, capacity: int) -> DecoderGraph: ...

    def close(self) -> None: ...
