"""A graph that counts what its layers' inputs look like while it runs."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from calibration.histogram import Histogram
from calibration.layer import check_names, input_of, layers_from_graph
from calibration.minmax import Maxima, check_finite, check_reached
from calibration.observer import Observer, reach_of
from calibration.session import Feeds, Session
from calibration.soundness import called


class SpreadGraph:
    """As `WatchedGraph`, for observers that need more than the largest value: every input is handed out whole, and counted.

    One forward pass's inputs of layers are in memory at a time, and a histogram for each; layers with one input share it.
    With `factors` by layer, inputs are counted as if their channels were divided by them.
    """

    def __init__(
        self,
        path: Path,
        names: Collection[str],
        threads: int,
        observer: Observer,
        factors: Mapping[str, Maxima] | None = None,
    ) -> None:
        self._path = path
        model = ir.load(path)
        results = len(model.graph.outputs)
        self._observer = observer
        self._numbers = watch_whole(model.graph, names, path.name)
        self._results = [str(value.name) for value in model.graph.outputs[:results]]
        self._histograms = [Histogram() for _ in range(len(model.graph.outputs) - results)]
        self._factors = {self._numbers[name]: each for name, each in (factors or {}).items()}
        self._largest: dict[int, Maxima] = {}  # of each input's channels
        self._session = Session(model, path.parent, threads, path.stem)
        self.done = 0

    def run(self, feeds: Feeds, sample: str = "") -> dict[str, npt.NDArray[Any]]:
        """`sample` is what these are called in errors."""
        said = sample or called((), self.done)
        found = self._session.run(None, feeds)
        count = len(self._results)
        owners = {number: name for name, number in reversed(self._numbers.items())}
        for number, (histogram, raw) in enumerate(zip(self._histograms, found[count:], strict=True)):
            values = raw / self._factors[number] if number in self._factors else raw
            peaks = np.abs(values).reshape(-1, values.shape[-1]).max(axis=0).astype(np.float32)
            peak = float(
                peaks.max()
            )  # unlike the engine's, numpy's largest of some numbers and a NaN is that NaN
            check_finite(self._path, owners[number], peak, peak, said)
            histogram.add(values)
            self._largest[number] = np.maximum(self._largest.get(number, peaks), peaks)
        self.done += 1
        return dict(zip(self._results, found[:count], strict=True))

    def reaches(self) -> dict[str, float]:
        """By layer, how far its input should reach; an EdgeVLError for a layer that only ever saw zeros."""
        largest = {name: self._histograms[number].largest for name, number in self._numbers.items()}
        check_reached(largest, self.done)
        chosen = [reach_of(self._observer, histogram) for histogram in self._histograms]
        return {name: chosen[number] for name, number in self._numbers.items()}

    def channels(self) -> dict[str, Maxima]:
        """max |x| of each of a layer's input channels, (K,)."""
        return {name: self._largest[number] for name, number in self._numbers.items()}

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """All that was counted so far, for `restore`."""
        found = {"done": np.array(self.done)}
        for number, histogram in enumerate(self._histograms):
            found |= {f"{number}/{name}": each for name, each in histogram.state().items()}
        return found | {f"{number}/channels": maxima for number, maxima in self._largest.items()}

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        self.done = int(state["done"])
        for number, histogram in enumerate(self._histograms):
            own = f"{number}/"
            histogram.restore(
                {name[len(own) :]: each for name, each in state.items() if name.startswith(own)}
            )
            self._largest[number] = state[f"{number}/channels"]


def watch_whole(graph: ir.Graph, names: Collection[str], where: str) -> dict[str, int]:
    """Adds the layers' inputs to the graph's outputs; tells each layer's number among those added."""
    layers = layers_from_graph(graph)
    check_names(names, layers, where)
    wanted, watched, numbers = set(names), dict[ir.Value, int](), dict[str, int]()
    for layer in layers:
        if layer.name in wanted:
            value = input_of(layer.nodes[0])
            if value not in watched:
                watched[value] = len(watched)
                add_output(graph, value, f"spread{watched[value]}", layer.dtype)
            numbers[layer.name] = watched[value]
    return numbers


def add_output(graph: ir.Graph, value: ir.Value, name: str, dtype: ir.DataType) -> None:
    node = ir.node("Identity", [value], name=name)  # an input of the graph cannot be its output
    node.outputs[0].name = name
    node.outputs[0].type = ir.TensorType(dtype)
    graph.append(node)
    graph.outputs.append(node.outputs[0])
