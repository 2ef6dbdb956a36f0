"""Engines that share the roles of a model between them."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet

from edge_runtime.backends.backend import Backend, DecoderGraph, Graph
from edge_runtime.dialects import Dialect, Precision
from edge_runtime.spec import Role


class SharedBackend:
    """`left` are the roles that the first engine leaves to the second."""

    def __init__(self, first: Backend, second: Backend, left: AbstractSet[Role]) -> None:
        self._first = first
        self._second = second
        self._left = left

    @property
    def name(self) -> str:
        return f"{self._first.name} and {self._second.name}"

    @property
    def dialect(self) -> Dialect:
        """Of the first; `MixedBackend` tells the precisions where the second's are others."""
        return self._first.dialect

    def graph(self, role: Role) -> Graph:
        return self._of(role).graph(role)

    def decoder(self, batch: int, capacity: int) -> DecoderGraph:
        return self._of("decoder").decoder(batch, capacity)

    def close(self) -> None:
        try:
            self._first.close()
        finally:
            self._second.close()

    def _of(self, role: Role) -> Backend:
        return self._second if role in self._left else self._first


class MixedBackend:
    """An engine whose precisions are not all its bundle's: those of another stand in for some. `precision` is of what
    runs, by role."""

    def __init__(self, engine: Backend, precision: Mapping[Role, Precision]) -> None:
        self.precision = precision
        self._engine = engine

    @property
    def name(self) -> str:
        return self._engine.name

    @property
    def dialect(self) -> Dialect:
        return self._engine.dialect

    def graph(self, role: Role) -> Graph:
        return self._engine.graph(role)

    def decoder(self, batch: int, capacity: int) -> DecoderGraph:
        return self._engine.decoder(batch, capacity)

    def close(self) -> None:
        self._engine.close()
