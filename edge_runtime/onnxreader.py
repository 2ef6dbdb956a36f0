"""Reads an .onnx file without onnx, and finds every tensor in it, wherever it hides."""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edge_runtime.errors import EdgeVLError
from edge_runtime.manifest import Port
from edge_runtime.onnxfile import AttributeValue, ExternalData, Function, Node, OnnxFile, Tensor, all_zero
from edge_runtime.onnxschema import (
    ATTRIBUTE,
    DIMENSION,
    DTYPES,
    FUNCTION,
    GRAPH,
    MODEL,
    NODE,
    OPSET,
    PAIR,
    SHAPE,
    SPARSE,
    TENSOR,
    TENSOR_TYPE,
    TRAINING,
    TYPE,
    VALUE_INFO,
)
from edge_runtime.protobuf import (
    Allowance,
    Value,
    WireError,
    fields_of,
    signed,
    text,
    view,
)

FILE_LIMIT = (1 << 31) - 1  # protobuf itself goes no further
SUBGRAPH_LIMIT = 16
OBJECT_FIELDS = 5  # what a node or tensor counts for besides its fields: an empty one costs memory too
EXTERNAL = 1  # TensorProto.data_location
UNNAMED = "?"  # the name of a dynamic dimension that has none


@dataclass(frozen=True)
class Graph:
    """The parts of the main graph that are read last."""

    inputs: list[memoryview]
    outputs: list[memoryview]
    initializers: list[Tensor]


def onnx_file_from_path(path: Path, where: str) -> OnnxFile:
    """The graph in a file, mapped and never copied whole; an EdgeVLError names it `where`."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size > FILE_LIMIT:
            raise graph_error(where, f"it has {size} bytes, an ONNX file has at most {FILE_LIMIT}")
        # Not closed here: views of it live on in the frames of an exception that passes.
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else b""
    return onnx_file_from_bytes(data, where)


def onnx_file_from_bytes(data: bytes | mmap.mmap, where: str) -> OnnxFile:
    """The graph in `data`, or an EdgeVLError that names it `where`."""
    try:
        return Walk().model(memoryview(data))
    except WireError as fault:
        problem = str(fault)
    raise graph_error(where, problem)


def graph_error(where: str, why: str) -> EdgeVLError:
    fix = "copy the bundle again from where it came, or export it again"
    return EdgeVLError("EVL-BUNDLE-GRAPH", f"{where} is not a usable graph", why, fix)


@dataclass
class Walk:
    """One way through a model, and what was found on it."""

    allowance: Allowance = field(default_factory=Allowance)
    nodes: list[Node] = field(default_factory=list)
    tensors: list[Tensor] = field(default_factory=list)
    functions: list[Function] = field(default_factory=list)

    def model(self, data: memoryview) -> OnnxFile:
        main: Graph | None = None
        ir_version, opsets = 0, dict[str, int]()
        for name, value in fields_of(data, MODEL, self.allowance):
            if name == "ir_version":
                ir_version = signed(value)
            elif name == "graph":
                main = self.graph(view(value), 0)
            elif name == "opset_import":
                self.opset(view(value), opsets)
            elif name == "functions":
                self.function(view(value))
            else:
                self.training(view(value))
        if main is None or not opsets:
            raise WireError("it has no graph or names no operator set")
        inputs, outputs = tuple(map(self.port, main.inputs)), tuple(map(self.port, main.outputs))
        return OnnxFile(
            ir_version=ir_version,
            opsets=opsets,
            inputs=inputs,
            outputs=outputs,
            initializers=tuple(main.initializers),
            nodes=tuple(self.nodes),
            tensors=tuple(self.tensors),
            functions=tuple(self.functions),
        )

    def text(self, value: Value) -> str:
        return text(value, self.allowance)

    def opset(self, data: memoryview, opsets: dict[str, int]) -> None:
        domain, version = "", 0
        for name, value in fields_of(data, OPSET, self.allowance):
            if name == "domain":
                domain = plain_domain(self.text(value))
            else:
                version = signed(value)
        if domain in opsets:
            raise WireError(f"it names the operator set {domain!r} twice")
        opsets[domain] = version

    def training(self, data: memoryview) -> None:
        for _, value in fields_of(data, TRAINING, self.allowance):
            self.graph(view(value), 0)

    def function(self, data: memoryview) -> None:
        found, opsets = {"name": "", "domain": ""}, dict[str, int]()
        for name, value in fields_of(data, FUNCTION, self.allowance):
            if name == "node":
                self.node(view(value), 0)
            elif name == "attribute_proto":
                self.attribute(view(value), 0)
            elif name == "opset_import":
                self.opset(view(value), opsets)
            else:
                found[name] = self.text(value)
        self.functions.append(Function(plain_domain(found["domain"]), found["name"], opsets))

    def graph(self, data: memoryview, depth: int) -> Graph:
        if depth > SUBGRAPH_LIMIT:
            raise WireError(f"graphs are nested more than {SUBGRAPH_LIMIT} deep")
        graph = Graph([], [], [])
        for name, value in fields_of(data, GRAPH, self.allowance):
            if name == "node":
                self.node(view(value), depth)
            elif name == "initializer":
                graph.initializers.append(self.tensor(view(value)))
            elif name == "sparse_initializer":
                self.sparse(view(value))
            else:
                (graph.inputs if name == "input" else graph.outputs).append(view(value))
        return graph

    def node(self, data: memoryview, depth: int) -> None:
        self.allowance.take_fields(OBJECT_FIELDS)
        found = {"op_type": "", "domain": "", "name": ""}
        names: dict[str, list[str]] = {"input": [], "output": []}
        attributes: dict[str, AttributeValue] = {}
        for name, value in fields_of(data, NODE, self.allowance):
            if name == "attribute":
                key, entry = self.attribute(view(value), depth)
                if key in attributes:
                    raise WireError(f"a node has the attribute {key!r} twice")
                attributes[key] = entry
            elif name in names:
                names[name].append(self.text(value))
            else:
                found[name] = self.text(value)
        domain, inputs, outputs = plain_domain(found["domain"]), tuple(names["input"]), tuple(names["output"])
        self.nodes.append(Node(found["op_type"], domain, found["name"], inputs, outputs, attributes))

    def attribute(self, data: memoryview, depth: int) -> tuple[str, AttributeValue]:
        found: dict[str, Value] = {}
        for name, value in fields_of(data, ATTRIBUTE, self.allowance):
            if name in ("t", "tensors"):
                self.tensor(view(value))
            elif name in ("g", "graphs"):
                self.graph(view(value), depth + 1)
            elif name in ("sparse_tensor", "sparse_tensors"):
                self.sparse(view(value))
            else:
                found[name] = value
        return self.text(found.get("name", memoryview(b""))), self.attribute_value(found)

    def attribute_value(self, found: Mapping[str, Value]) -> AttributeValue:
        kind = found.get("type")
        if kind == 1:
            packed = view(found.get("f", memoryview(bytes(4))))
            return float(struct.unpack("<f", packed)[0])
        if kind == 2:
            return signed(found.get("i", 0))
        if kind == 3:
            data = view(found.get("s", memoryview(b"")))
            self.allowance.take_text(len(data))
            return bytes(data)
        return None

    def sparse(self, data: memoryview) -> None:
        for _, value in fields_of(data, SPARSE, self.allowance):
            self.tensor(view(value))

    def tensor(self, data: memoryview) -> Tensor:
        self.allowance.take_fields(OBJECT_FIELDS)
        name, code, is_external = "", 0, False
        dims: list[int] = []
        pairs: dict[str, str] = {}
        raw = memoryview(b"")
        for field_name, value in fields_of(data, TENSOR, self.allowance):
            if field_name == "dims":
                dims.append(signed(value))
            elif field_name == "data_type":
                code = signed(value)
            elif field_name == "name":
                name = self.text(value)
            elif field_name == "data_location":
                is_external = value == EXTERNAL
            elif field_name == "raw_data":
                raw = view(value)
            else:
                self.pair(view(value), pairs)
        if code not in DTYPES or any(dim < 0 for dim in dims):
            raise WireError(f"the tensor {name!r} has type {code} and dimensions {dims[:8]}")
        if is_external != bool(pairs):
            raise WireError(f"the tensor {name!r} is half inside and half outside the file")
        external = external_from_pairs(name, pairs) if is_external else None
        self.tensors.append(Tensor(name, DTYPES[code], tuple(dims), external, all_zero(raw)))
        return self.tensors[-1]

    def pair(self, data: memoryview, pairs: dict[str, str]) -> None:
        found = {"key": "", "value": ""}
        for name, value in fields_of(data, PAIR, self.allowance):
            found[name] = self.text(value)
        if found["key"] in pairs:
            raise WireError(f"external data names its {found['key']!r} twice")
        pairs[found["key"]] = found["value"]

    def port(self, data: memoryview) -> Port:
        name, code, shape = "", 0, None
        for field_name, value in fields_of(data, VALUE_INFO, self.allowance):
            if field_name == "name":
                name = self.text(value)
            else:
                code, shape = self.tensor_type(view(value))
        if shape is None or code not in DTYPES:
            raise WireError(f"the input or output {name!r} is not a tensor of known type and rank")
        try:
            return Port(name, DTYPES[code], shape)
        except ValueError as fault:
            problem = str(fault)
        raise WireError(problem)

    def tensor_type(self, data: memoryview) -> tuple[int, tuple[int | str, ...] | None]:
        code, shape = 0, None
        for _, tensor in fields_of(data, TYPE, self.allowance):
            for name, value in fields_of(view(tensor), TENSOR_TYPE, self.allowance):
                if name == "elem_type":
                    code = signed(value)
                else:
                    dims = fields_of(view(value), SHAPE, self.allowance)
                    shape = tuple(self.dimension(view(dim)) for _, dim in dims)
        return code, shape

    def dimension(self, data: memoryview) -> int | str:
        found: list[int | str] = []
        for name, value in fields_of(data, DIMENSION, self.allowance):
            found.append(signed(value) if name == "dim_value" else self.text(value))
        if len(found) > 1:
            raise WireError("a dimension has a size and a name")
        return (found or [UNNAMED])[0]


def external_from_pairs(name: str, pairs: Mapping[str, str]) -> ExternalData:
    """Only what every reader agrees on: a location, an offset and a length."""
    extra = sorted(set(pairs) - {"location", "offset", "length"})
    if extra or "location" not in pairs:
        raise WireError(f"the external data of {name!r} has {', '.join(extra) or 'no location'}")
    numbers = [pairs.get("offset", "0"), pairs.get("length", "0")]
    if not all(digits.isascii() and digits.isdigit() and len(digits) <= 18 for digits in numbers):
        raise WireError(f"the external data of {name!r} has an offset or length that is no number")
    length = int(pairs["length"]) if "length" in pairs else None
    return ExternalData(pairs["location"], int(numbers[0]), length)


def plain_domain(domain: str) -> str:
    return "" if domain == "ai.onnx" else domain
