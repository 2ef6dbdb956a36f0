"""A backend that times what it runs, so that the runtime's own code is what is measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from edge_runtime.backends.backend import Array, Backend, DecoderGraph, Graph
from edge_runtime.dialects import Dialect
from edge_runtime.spec import Role
from edge_runtime.stopwatch import Stopwatch


class TimedGraph:
    def __init__(self, graph: Graph, stage: str, stopwatch: Stopwatch) -> None:
        self._graph = graph
        self._stage = stage
        self._stopwatch = stopwatch

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        with self._stopwatch.time(self._stage):
            return self._graph.run(feeds)

    def launch(self, feeds: Mapping[str, Array]) -> Callable[[], dict[str, Array]]:
        """Of graphs that run side by side, the one that is waited for first takes what both take."""
        with self._stopwatch.time(self._stage):
            finished = self._graph.launch(feeds)

        def wait() -> dict[str, Array]:
            with self._stopwatch.time(self._stage):
                return finished()

        return wait


class TimedBackend:
    """Graphs add their time to the stage of their role's name."""

    def __init__(self, backend: Backend, stopwatch: Stopwatch) -> None:
        self._backend = backend
        self._stopwatch = stopwatch

    @property
    def name(self) -> str:
        return self._backend.name

    @property
    def dialect(self) -> Dialect:
        return self._backend.dialect

    def graph(self, role: Role) -> TimedGraph:
        return TimedGraph(self._backend.graph(role), role, self._stopwatch)

    def decoder(self, batch: int, capacity: int) -> DecoderGraph:
        return self._backend.decoder(batch, capacity)

    def close(self) -> None:
        self._backend.close()
