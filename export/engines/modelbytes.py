"""An ONNX file with some of its input dimensions made static; all else stays as it is, byte for byte."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from edge_runtime.errors import EdgeVLError
from edge_runtime.protobuf import SIZED, VARINT, Value, WireError, number_at, signed, value_at, view

# onnx.proto: ModelProto.graph, GraphProto.input, ValueInfoProto.name and .type, TypeProto.tensor_type,
# TypeProto.Tensor.shape, TensorShapeProto.dim, Dimension.dim_value
GRAPH, INPUT, NAME, TYPE, TENSOR_TYPE, SHAPE, DIM, DIM_VALUE = 7, 11, 1, 2, 1, 2, 1, 1


def model_with_fixed_shapes(model: bytes, shapes: Mapping[str, tuple[int, ...]], where: str) -> bytes:
    """EVL-BUILD-SHAPES if an input is not there, has another rank, or has another static size already.

    The parser must see static sizes: a KV cache update is refused while its capacity is dynamic.
    """
    waiting = dict(shapes)
    try:
        fixed = rewritten(memoryview(model), GRAPH, lambda graph: fixed_graph(graph, waiting, where))
    except WireError as fault:
        why, fix = f"it is no ONNX file: {fault}", "export this role again"
        raise EdgeVLError("EVL-BUILD-PARSE", f"{where} cannot be read", why, fix) from fault
    if waiting:
        raise shapes_error(where, f"it has no input {', '.join(sorted(waiting))}")
    return fixed


def shapes_error(where: str, why: str) -> EdgeVLError:
    fix = "give shapes that fit the graph's inputs, or export this role again"
    return EdgeVLError("EVL-BUILD-SHAPES", f"{where} cannot be built with these shapes", why, fix)


def fixed_graph(graph: memoryview, waiting: dict[str, tuple[int, ...]], where: str) -> bytes:
    def fixed_input(port: memoryview) -> bytes:
        name = name_of(port)
        shape = waiting.pop(name, None)
        return bytes(port) if shape is None else fixed_port(port, shape, f"the input {name} of {where}")

    return rewritten(graph, INPUT, fixed_input)


def fixed_port(port: memoryview, shape: tuple[int, ...], where: str) -> bytes:
    sizes = list(shape)

    def fixed_dimension(dimension: memoryview) -> bytes:
        if not sizes:
            raise shapes_error(where, f"its rank is not {len(shape)}")
        return fixed_size(dimension, sizes.pop(0), where)

    def fixed_type(kind: memoryview) -> bytes:
        return rewritten(kind, TENSOR_TYPE, lambda tensor: rewritten(tensor, SHAPE, fixed_dimensions))

    def fixed_dimensions(found: memoryview) -> bytes:
        return rewritten(found, DIM, fixed_dimension)

    fixed = rewritten(port, TYPE, fixed_type)
    if sizes:
        raise shapes_error(where, f"its rank is not {len(shape)}")
    return fixed


def fixed_size(dimension: memoryview, size: int, where: str) -> bytes:
    for number, wire, _, value in fields_of(dimension):
        if (number, wire) == (DIM_VALUE, VARINT) and size not in (-1, signed(value)):
            raise shapes_error(where, f"a size is {signed(value)} already and cannot become {size}")
    return bytes(dimension) if size == -1 else bytes([DIM_VALUE << 3 | VARINT]) + varint(size)


def rewritten(message: memoryview, wanted: int, change: Callable[[memoryview], bytes]) -> bytes:
    """The message with each field of one number changed."""
    parts: list[bytes | memoryview] = []
    for number, wire, whole, value in fields_of(message):
        if (number, wire) == (wanted, SIZED):
            payload = change(view(value))
            parts += [varint(wanted << 3 | SIZED), varint(len(payload)), payload]
        else:
            parts.append(whole)
    return b"".join(parts)


def fields_of(message: memoryview) -> Iterator[tuple[int, int, memoryview, Value]]:
    """Number, wire type, all bytes, and value of each field."""
    position = 0
    while position < len(message):
        key, start = number_at(message, position)
        value, end = value_at(message, start, key & 7)
        yield key >> 3, key & 7, message[position:end], value
        position = end


def name_of(port: memoryview) -> str:
    names = [view(value) for number, wire, _, value in fields_of(port) if (number, wire) == (NAME, SIZED)]
    return str(names[0], "utf-8", "replace") if names else ""


def varint(value: int) -> bytes:
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])
