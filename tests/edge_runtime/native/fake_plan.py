"""A plan of the fake: a small file that names an ONNX graph and the shapes it is run with."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime

Shape = tuple[int, ...]
Range = tuple[Shape, Shape, Shape]  # minimum, optimum, maximum
Array = npt.NDArray[np.generic]
COMPUTE = "8.7"
MAGIC = b"FAKE PLAN 1\n"
PAGE = 512
# By onnx.TensorProto.DataType: what TensorRT calls it, and the type of its numbers here.
TYPES = {
    1: ("FLOAT", "float32"), 2: ("UINT8", "uint8"), 3: ("INT8", "int8"), 6: ("INT32", "int32"), 7: ("INT64", "int64"),
    9: ("BOOL", "bool"), 10: ("HALF", "float16"),
}  # fmt: skip


class RangeLike(Protocol):
    @property
    def minimum(self) -> Shape: ...
    @property
    def optimum(self) -> Shape: ...
    @property
    def maximum(self) -> Shape: ...


class ProfileLike(Protocol):
    """As the builder is given them."""

    @property
    def inputs(self) -> Mapping[str, RangeLike]: ...


@dataclass(frozen=True)
class Plan:
    """What the file says. `activation_bytes` has one number for each profile."""

    onnx: str
    profiles: tuple[dict[str, Range], ...]
    activation_bytes: tuple[int, ...]
    built_for: str  # a library and its version, as records are titled
    compute: str
    weight_bytes: int = 0
    is_capturable: bool = True
    needs_user_memory: bool = False  # built with REQUIRE_USER_ALLOCATION

    def largest_activations(self) -> int:
        return max(self.activation_bytes)


@dataclass(frozen=True)
class Port:
    """A dimension is a number, or the name of one that profiles bound."""

    name: str
    kind: str  # of DataType
    dtype: np.dtype[np.generic]
    dims: tuple[int | str, ...]
    is_input: bool

    @property
    def shape(self) -> Shape:
        return tuple(dim if isinstance(dim, int) else -1 for dim in self.dims)

    @property
    def is_dynamic(self) -> bool:
        return -1 in self.shape

    def nbytes(self, shape: Shape) -> int:
        return int(np.prod(shape, dtype=np.int64)) * self.dtype.itemsize


@dataclass
class FakeNetwork:
    """The ONNX graph of a plan, and ONNX Runtime that computes it."""

    path: Path
    _model: onnx.ModelProto = field(init=False)

    def __post_init__(self) -> None:
        self._model = onnx.load(self.path, load_external_data=False)

    @cached_property
    def ports(self) -> dict[str, Port]:
        """Inputs first, then outputs, in the graph's order."""
        graph = self._model.graph
        weights = {each.name for each in graph.initializer}
        inputs = [each for each in graph.input if each.name not in weights]
        found = [port_from_value(each, is_input=True) for each in inputs]
        found += [port_from_value(each, is_input=False) for each in graph.output]
        return {port.name: port for port in found}

    @cached_property
    def aliases(self) -> dict[str, str]:
        """Outputs that are inputs written in place: TensorScatter of opset 24, from a graph's input to its output."""
        inputs = {port.name for port in self.ports.values() if port.is_input}
        found = {
            node.output[0]: node.input[0]
            for node in self._model.graph.node
            if node.op_type == "TensorScatter" and node.input[0] in inputs
        }
        for node in self._model.graph.node:
            if node.op_type == "Identity" and node.input[0] in found:
                found[node.output[0]] = found[node.input[0]]
        return {output: found[output] for output in self.ports if output in found}

    @cached_property
    def session(self) -> onnxruntime.InferenceSession:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        return onnxruntime.InferenceSession(str(self.path), options, providers=["CPUExecutionProvider"])

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        names = [port.name for port in self.ports.values() if not port.is_input]
        found: list[Array] = self.session.run(names, dict(feeds))
        return dict(zip(names, found, strict=True))

    def resolved(self, name: str, shapes: Mapping[str, Shape]) -> Shape:
        """An output's shape for these of the inputs; -1 where they do not tell."""
        sizes = {
            dim: size
            for each, shape in shapes.items()
            for dim, size in zip(self.ports[each].dims, shape, strict=True)
            if isinstance(dim, str)
        }
        return tuple(dim if isinstance(dim, int) else sizes.get(dim, -1) for dim in self.ports[name].dims)


def port_from_value(value: onnx.ValueInfoProto, *, is_input: bool) -> Port:
    tensor = value.type.tensor_type
    kind, dtype = TYPES[tensor.elem_type]
    dims = tuple(dim.dim_param or int(dim.dim_value) for dim in tensor.shape.dim)
    return Port(value.name, kind, np.dtype(dtype), dims, is_input)


def ranges_from_profile(profile: ProfileLike | Mapping[str, Range]) -> dict[str, Range]:
    if isinstance(profile, Mapping):
        return dict(profile)
    return {name: (each.minimum, each.optimum, each.maximum) for name, each in profile.inputs.items()}


def write_plan(
    onnx_path: Path,
    profiles: Sequence[ProfileLike | Mapping[str, Range]],
    path: Path,
    *,
    built_for: str = "tensorrt_rtx-1.7.1.116",
    compute: str = COMPUTE,
    activation_bytes: Sequence[int] | None = None,
    weight_bytes: int = 0,
    is_capturable: bool = True,
    needs_user_memory: bool = False,
) -> Path:
    """Every dynamic input needs a range in each profile; an engine without any is given one profile of none."""
    ports = FakeNetwork(onnx_path).ports
    ranges = tuple(ranges_from_profile(profile) for profile in profiles) or ({},)
    for each in ranges:
        lacking = [
            name for name, port in ports.items() if port.is_input and port.is_dynamic and name not in each
        ]
        assert not lacking, f"a profile has no range for {lacking}"
        assert set(each) <= set(ports), f"a profile has ranges for what is no input: {set(each) - set(ports)}"
    sizes = activation_bytes or [activations_for(ports, each) for each in ranges]
    plan = Plan(
        str(onnx_path.absolute()), ranges, tuple(sizes), built_for, compute, weight_bytes, is_capturable,
        needs_user_memory,
    )  # fmt: skip
    path.write_bytes(MAGIC + json.dumps(asdict(plan)).encode())
    return path


def activations_for(ports: Mapping[str, Port], ranges: Mapping[str, Range]) -> int:
    """As many bytes as the largest inputs have, in whole pages and one more: wider profiles need more."""
    inputs = (port for port in ports.values() if port.is_input)
    nbytes = sum(port.nbytes(ranges[port.name][2] if port.name in ranges else port.shape) for port in inputs)
    return nbytes // PAGE * PAGE + PAGE


def plan_from_bytes(content: bytes) -> Plan:
    """ValueError where it is none, or not all of one."""
    if not content.startswith(MAGIC):
        raise ValueError("no plan")
    fields = json.loads(content[len(MAGIC) :])
    fields["profiles"] = tuple(
        {name: tuple(map(tuple, ranges)) for name, ranges in each.items()} for each in fields["profiles"]
    )
    fields["activation_bytes"] = tuple(fields["activation_bytes"])
    return Plan(**fields)
