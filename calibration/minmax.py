"""The largest magnitude that reaches each layer, over samples."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy.typing as npt
import onnx_ir as ir

from calibration.decision import INT8_LIMIT
from calibration.layer import check_names, input_of, layers_from_graph
from edge_runtime.backends.ort import FATAL, PROVIDERS, imported_onnxruntime
from edge_runtime.errors import EdgeVLError
from edge_runtime.progress import Progress, silent

Feeds = Mapping[str, npt.NDArray[Any]]


def absmax_from_samples(
    path: Path,
    names: Iterable[str],
    samples: Iterable[Feeds],
    threads: int,
    count: int = 0,
    progress: Progress = silent,
) -> dict[str, float]:
    """max |x| of each named layer's input over all samples, by layer name.

    The graph runs once for each sample in ONNX Runtime and hands out two numbers for each layer, so memory is
    that of a plain forward pass however many layers and samples there are. A sample that drives a layer beyond
    finite numbers, and a layer that only ever saw zeros, are EdgeVLErrors. `progress` hears samples, of `count`.
    """
    graph = WatchedGraph(path, list(names), threads, has_results=False)
    for feeds in samples:
        graph.run(feeds)
        progress("calibrating", graph.done, max(count, graph.done))
    return graph.reaches()


class WatchedGraph:
    """A graph that notes max |x| of its layers' inputs while it runs; with `has_results` it also gives what it gives."""

    def __init__(self, path: Path, names: Collection[str], threads: int, has_results: bool = True) -> None:
        model, self._watched = watched_model(path, names, has_results)
        self._results = [str(value.name) for value in model.graph.outputs][: -2 * len(self._watched) or None]
        self._session = session_from_model(model, path.parent, threads)
        self._largest = dict.fromkeys(self._watched, 0.0)
        self.done = 0

    def run(self, feeds: Feeds) -> dict[str, npt.NDArray[Any]]:
        found = self._session.run(None, dict(feeds))
        count = len(self._results)
        figures = [float(figure) for figure in found[count:]]
        for name, peak, total in zip(self._watched, figures[::2], figures[1::2], strict=True):
            check_finite(name, peak, total, self.done)
            self._largest[name] = max(self._largest[name], peak)
        self.done += 1
        return dict(zip(self._results, found[:count], strict=True))

    def reaches(self) -> dict[str, float]:
        """max |x| by layer; an EdgeVLError for a layer that only ever saw zeros."""
        check_reached(self._largest, self.done)
        return dict(self._largest)


def scale_from_absmax(absmax: float) -> float:
    """The step of 8-bit activations that just reach `absmax`."""
    return absmax / INT8_LIMIT


def watched_model(path: Path, names: Collection[str], has_results: bool) -> tuple[ir.Model, list[str]]:
    """The graph with max |x| and sum |x| of layers' inputs as its last outputs, and whose they are, two by two.

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
        add_watch(graph, f"watch{number}", input_of(node), layer.dtype)
    return model, [layer.name for layer, _ in watched]


def add_watch(graph: ir.Graph, stem: str, value: ir.Value, dtype: ir.DataType) -> None:
    magnitude = ir.node("Abs", [value], name=f"{stem}/Abs")
    graph.append(magnitude)
    # The sum is there for its NaN: the largest of some numbers and a NaN may be either.
    for operator in ("ReduceMax", "ReduceSum"):
        name = f"{stem}/{operator}"
        node = ir.node(operator, magnitude.outputs, {"keepdims": 0}, name=name)
        node.outputs[0].name = name
        node.outputs[0].type = ir.TensorType(dtype)
        node.outputs[0].shape = ir.Shape([])
        graph.append(node)
        graph.outputs.append(node.outputs[0])


def session_from_model(model: ir.Model, folder: Path, threads: int) -> Any:
    """A session on a model in memory whose weights lie in `folder`."""
    onnxruntime = imported_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = FATAL
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(folder))
    options.add_session_config_entry("session.disable_prepacking", "1")  # it would copy every weight
    data = ir.to_proto(model).SerializeToString()
    return onnxruntime.InferenceSession(data, options, providers=PROVIDERS)


def check_finite(name: str, peak: float, total: float, sample: int) -> None:
    if math.isinf(peak) or math.isnan(total):
        what, why = (
            f"sample {sample + 1} cannot be calibrated with",
            f"the input of {name} is no finite number in it",
        )
        raise EdgeVLError("EVL-QUANT-SAMPLE", what, why, "leave it out, or export with --precision fp32")


def check_reached(largest: Mapping[str, float], samples: int) -> None:
    idle = [name for name, peak in largest.items() if peak == 0.0]
    if idle:
        what = f"the input of {idle[0]} has no range"
        why = "it was zero in every sample" if samples else "there were no samples"
        raise EdgeVLError("EVL-QUANT-SAMPLE", what, why, "calibrate with other samples")
