"""From a torch module with no weights in memory to an ONNX graph whose weights are named holes."""

from __future__ import annotations

import gc
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

import onnx_ir as ir
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.export import Dim
from torch.onnx._internal.exporter import _core as exporter
from torch.onnx._internal.exporter._constants import TORCHLIB_OPSET
from torch.onnx._internal.exporter._registration import ONNXRegistry

Shape = tuple[int | str, ...]


@dataclass(frozen=True)
class TracePort:
    """One tensor of a graph's signature; a string in `shape` is a dimension that varies."""

    name: str
    shape: Shape
    dtype: torch.dtype

    def fake(self, sizes: dict[str, int]) -> Tensor:
        shape = [sizes[dim] if isinstance(dim, str) else dim for dim in self.shape]
        return torch.empty(shape, dtype=self.dtype)

    def dynamic(self, dims: dict[str, Dim]) -> dict[int, Dim]:
        return {axis: dims[dim] for axis, dim in enumerate(self.shape) if isinstance(dim, str)}


@dataclass(frozen=True)
class Signature:
    """What goes in and out. The last `2 * pairs` inputs reach `forward` as one list of pairs."""

    inputs: tuple[TracePort, ...]
    outputs: tuple[TracePort, ...]
    pairs: int = 0

    @property
    def dims(self) -> tuple[str, ...]:
        seen = (dim for port in self.inputs for dim in port.shape if isinstance(dim, str))
        return tuple(dict.fromkeys(seen))


@dataclass(frozen=True)
class Traced:
    """An ONNX model and the parameters it wants: graph value by canonical parameter name."""

    model: ir.Model
    holes: dict[str, ir.Value]


def trace(build: Callable[[], nn.Module], signature: Signature, opset: int) -> Traced:
    """`build` makes the module; it is called where tensors have shapes and no storage."""
    with rare_collections(), quiet_exporter():
        # As torch.onnx.export does, but that reads the sources of all of torchlib at every call.
        onnx_program = exporter.export(
            exported_program(build, signature),
            registry=torchlib(max(opset, TORCHLIB_OPSET)),
            opset_version=opset,
            optimize=False,
            verbose=False,
            input_names=[port.name for port in signature.inputs],
            output_names=[port.name for port in signature.outputs],
        )
        holes = dig_holes(onnx_program.model)
        onnx_program.optimize()
    model = onnx_program.model
    for value in holes.values():
        model.graph.inputs.remove(value)
    name_dims(model, signature)
    name_nodes(model)
    return Traced(model, {name: value for name, value in holes.items() if value.uses()})


@cache
def torchlib(opset: int) -> ONNXRegistry:
    return ONNXRegistry.from_torchlib(opset_version=opset)


@contextmanager
def rare_collections() -> Iterator[None]:
    """Tracing leaves little that is unreachable: looking for it as often as Python does is a tenth of the time."""
    before = gc.get_threshold()
    gc.set_threshold(20_000, 20, 20)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def exported_program(build: Callable[[], nn.Module], signature: Signature) -> torch.export.ExportedProgram:
    # Sizes of at least 2 and all different: torch.export specialises 0 and 1, and would merge equal ones.
    sizes = {dim: 2 + index for index, dim in enumerate(signature.dims)} | {"capacity": 64}
    dims = {dim: Dim(dim) for dim in signature.dims}
    with FakeTensorMode():
        module = build().eval().requires_grad_(False)
        arguments = paired([port.fake(sizes) for port in signature.inputs], signature.pairs)
        dynamic = paired([port.dynamic(dims) for port in signature.inputs], signature.pairs)
        return torch.export.export(module, tuple(arguments), dynamic_shapes=tuple(dynamic), strict=False)


def paired(items: Sequence[object], pairs: int) -> list[object]:
    if pairs == 0:
        return list(items)
    head, tail = items[: -2 * pairs], items[-2 * pairs :]
    return [*head, list(zip(tail[::2], tail[1::2], strict=True))]


def dig_holes(model: ir.Model) -> dict[str, ir.Value]:
    """Weights without data become graph inputs, so that no optimisation pass asks for their bytes."""
    graph = model.graph
    holes: dict[str, ir.Value] = {}
    for name, value in list(graph.initializers.items()):
        if isinstance(getattr(value.const_value, "raw", None), FakeTensor | nn.Parameter):
            holes[name] = graph.initializers.pop(name)
            value.const_value = None
            graph.inputs.append(value)
    return holes


def name_dims(model: ir.Model, signature: Signature) -> None:
    """torch.export numbers its symbols; a graph on disk names them."""
    for values, ports in (
        (model.graph.inputs, signature.inputs),
        (model.graph.outputs, signature.outputs),
    ):
        for value, port in zip(values, ports, strict=True):
            assert value.name == port.name, (value.name, port.name)
            value.shape = ir.Shape(port.shape)


def name_nodes(model: ir.Model) -> None:
    """Names nodes after the module they come from, and drops the tracer's notes: they hold local paths."""
    taken: dict[str, int] = {}
    for node in model.graph.all_nodes():
        scope = scope_of(node)
        stem = f"{scope}/{node.op_type}" if scope else node.op_type
        count = taken[stem] = taken.get(stem, 0) + 1
        node.name = stem if count == 1 else f"{stem}.{count}"
        node.metadata_props.clear()
        node.doc_string = None
        for value in node.outputs:
            value.metadata_props.clear()
    for value in (*model.graph.inputs, *model.graph.initializers.values()):
        value.metadata_props.clear()
    model.metadata_props.clear()
    model.graph.metadata_props.clear()
    model.graph.doc_string = None
    model.doc_string = None
    model.producer_name = "edge-vl"
    model.producer_version = ""
    for value in intermediate_values(model):
        value.shape = None  # they speak of torch.export's numbered symbols
        value.metadata_props.clear()


def intermediate_values(model: ir.Model) -> list[ir.Value]:
    kept = {id(value) for value in model.graph.outputs}
    return [v for node in model.graph.all_nodes() for v in node.outputs if id(v) not in kept]


def scope_of(node: ir.Node) -> str:
    """The innermost module path, as in `blocks.3.q`."""
    scopes = node.metadata_props.get("pkg.torch.onnx.name_scopes", "")
    paths = [part.strip(" '\"[]") for part in scopes.split(",")]
    scope = paths[-2] if len(paths) >= 2 else ""
    return "" if scope.startswith("_") else scope


class quiet_exporter:  # noqa: N801  (a context manager reads as a verb)
    """torch's exporter logs and warns about libraries that are not needed here."""

    def __enter__(self) -> None:
        self._logger = logging.getLogger("torch.onnx._internal.exporter._registration")
        self._level = self._logger.level
        self._logger.setLevel(logging.ERROR)
        self._warnings = warnings.catch_warnings()
        self._warnings.__enter__()
        warnings.filterwarnings("ignore", message=".*LeafSpec.*", category=FutureWarning)

    def __exit__(self, *exc: object) -> None:
        self._warnings.__exit__(None, None, None)
        self._logger.setLevel(self._level)
