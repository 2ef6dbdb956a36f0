"""The largest magnitude that reaches each layer, and each channel of it, over samples."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from calibration.decision import INT8_LIMIT
from calibration.initializer import initializer
from calibration.layer import Layer, check_names, input_of, layers_from_graph
from calibration.session import Feeds, Session
from calibration.soundness import called, error_in_graph
from edge_runtime.errors import EdgeVLError

Maxima = npt.NDArray[np.float32]


class WatchedGraph:
    """A graph that notes max |x| of every channel of its layers' inputs while it runs; with `has_results` it also gives
    what it gives.

    It hands out a few numbers for each layer, so memory is that of a plain forward pass however many layers and samples
    there are. A sample that drives a layer beyond finite numbers is an EdgeVLError.
    """

    def __init__(self, path: Path, names: Collection[str], threads: int, has_results: bool = True) -> None:
        self._path = path
        model, self._watched = watched_model(path, names, has_results)
        self._results = [str(value.name) for value in model.graph.outputs][: -2 * len(self._watched) or None]
        self._session = Session(model, path.parent, threads, path.stem)
        self._largest: dict[str, Maxima] = {}
        self.done = 0

    def run(self, feeds: Feeds, sample: str = "") -> dict[str, npt.NDArray[Any]]:
        """`sample` is what these are called in errors."""
        said = sample or called((), self.done)
        found = self._session.run(None, feeds)
        count = len(self._results)
        figures = found[count:]
        for name, peaks, total in zip(self._watched, figures[::2], figures[1::2], strict=True):
            check_finite(self._path, name, float(peaks.max()), float(total), said)
            wide = peaks.astype(np.float32)
            self._largest[name] = np.maximum(self._largest[name], wide) if name in self._largest else wide
        self.done += 1
        return dict(zip(self._results, found[:count], strict=True))

    def reaches(self) -> dict[str, float]:
        """max |x| by layer; an EdgeVLError for a layer that only ever saw zeros."""
        largest = {name: float(maxima.max()) for name, maxima in self.channels().items()}
        check_reached({name: largest.get(name, 0.0) for name in self._watched}, self.done)
        return largest

    def channels(self) -> dict[str, Maxima]:
        """max |x| of each of a layer's input channels, (K,)."""
        return dict(self._largest)

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """All that was noted so far, for `restore`."""
        return {"done": np.array(self.done), **self._largest}

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        self.done = int(state["done"])
        self._largest = {name: maxima for name, maxima in state.items() if name != "done"}


def scale_from_absmax(absmax: float) -> float:
    """The step of 8-bit activations that just reach `absmax`."""
    return absmax / INT8_LIMIT


def watched_model(path: Path, names: Collection[str], has_results: bool) -> tuple[ir.Model, list[str]]:
    """The graph with max |x| by channel and sum |x| of layers' inputs as its last outputs, and whose they are, two by two.

    A layer comes once, but where it is split into several products.
    """
    model = ir.load(path)
    graph = model.graph
    layers = layers_from_graph(graph)
    check_names(names, layers, path.name)
    if not has_results:
        graph.outputs.clear()  # what nobody watches is not computed
    wanted = set(names)
    watched = [(layer, node) for layer in layers if layer.name in wanted for node in layer.nodes]
    for number, (layer, node) in enumerate(watched):
        add_watch(graph, f"watch{number}", input_of(node), layer)
    return model, [layer.name for layer, _ in watched]


def add_watch(graph: ir.Graph, stem: str, value: ir.Value, layer: Layer) -> None:
    magnitude = appended(graph, "Abs", [value], {}, f"{stem}/Abs")
    rows = appended(
        graph,
        "Reshape",
        [magnitude, constant(graph, f"{stem}_shape", [-1, layer.rows])],
        {},
        f"{stem}/Reshape",
    )
    first = constant(graph, f"{stem}_axes", [0])
    peaks = appended(graph, "ReduceMax", [rows, first], {"keepdims": 0}, f"{stem}/ReduceMax")
    # The sum is there for its NaN: the largest of some numbers and a NaN may be either.
    total = appended(graph, "ReduceSum", [rows], {"keepdims": 0}, f"{stem}/ReduceSum")
    for output, shape in ((peaks, [layer.rows]), (total, [])):
        output.type, output.shape = ir.TensorType(layer.dtype), ir.Shape(shape)
        graph.outputs.append(output)


def appended(
    graph: ir.Graph, operator: str, inputs: list[ir.Value], attributes: dict[str, Any], name: str
) -> ir.Value:
    node = ir.node(operator, inputs, attributes, name=name)
    node.outputs[0].name = name
    graph.append(node)
    return node.outputs[0]


def constant(graph: ir.Graph, name: str, numbers: list[int]) -> ir.Value:
    return initializer(graph, ir.Tensor(np.array(numbers, np.int64), name=name))


def check_finite(path: Path, name: str, peak: float, total: float, sample: str) -> None:
    if math.isinf(peak) or math.isnan(total):
        raise error_in_graph(path, sample, f"the input of {name}")


def check_reached(largest: Mapping[str, float], samples: int) -> None:
    idle = [name for name, peak in largest.items() if peak == 0.0]
    if idle:
        what = f"the input of {idle[0]} has no range"
        why = "it was zero in every sample" if samples else "there were no samples"
        raise EdgeVLError("EVL-QUANT-SAMPLE", what, why, "calibrate with other samples")
