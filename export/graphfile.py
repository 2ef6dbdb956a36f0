"""A traced graph on disk: a small .onnx file, and a .data file filled one tensor at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import onnx_ir as ir
import torch
from torch import Tensor

from edge_runtime.manifest import Port
from export.trace import Signature, Traced, TracePort

Read = Callable[[str], Tensor]  # a parameter by canonical name
Tick = Callable[[int], None]  # bytes written

PAGE_BYTES = 4096  # engines memory-map tensors that begin on a page
CHUNK_ELEMENTS = 4 << 20

IR_TYPES = {torch.float32: ir.DataType.FLOAT, torch.float16: ir.DataType.FLOAT16}
DTYPE_NAMES = {torch.float32: "float32", torch.float16: "float16", torch.int64: "int64"}


@dataclass(frozen=True)
class Place:
    """Where one tensor lies in the data file."""

    name: str
    offset: int
    length: int


def write_graph(traced: Traced, path: Path, read: Read, dtype: torch.dtype, tick: Tick) -> None:
    """Writes `path` and `path` with the suffix .data; at most one tensor is in memory at a time."""
    data = path.with_suffix(".data")
    places = places_of(traced, dtype)
    with data.open("wb") as file:
        for place in places:
            file.write(bytes(place.offset - file.tell()))
            for chunk in chunks(read(place.name), dtype):
                file.write(chunk)
                tick(len(chunk))
            assert file.tell() == place.offset + place.length, f"{place.name} has another size than its hole"
    for place in places:
        fill_hole(traced, place, data.name, dtype)
    ir.save(traced.model, path)


def places_of(traced: Traced, dtype: torch.dtype) -> list[Place]:
    places, end = [], 0
    for name, value in traced.holes.items():
        length = elements_of(value) * dtype.itemsize
        offset = -(-end // PAGE_BYTES) * PAGE_BYTES
        places.append(Place(name, offset, length))
        end = offset + length
    return places


def elements_of(value: ir.Value) -> int:
    assert value.shape is not None, value.name
    count = 1
    for dim in value.shape:
        assert isinstance(dim, int), f"{value.name} has no fixed shape"
        count *= dim
    return count


def chunks(tensor: Tensor, dtype: torch.dtype) -> Iterator[bytes]:
    """The tensor's values in row-major order, converted piece by piece."""
    flat = tensor.reshape(-1)  # a copy only where the tensor is a transposed view
    for start in range(0, flat.numel(), CHUNK_ELEMENTS):
        yield flat[start : start + CHUNK_ELEMENTS].to(dtype).view(torch.uint8).numpy().tobytes()


def fill_hole(traced: Traced, place: Place, location: str, dtype: torch.dtype) -> None:
    value = traced.holes[place.name]
    assert value.shape is not None, value.name
    value.const_value = ir.ExternalTensor(
        location, place.offset, place.length, IR_TYPES[dtype], name=place.name, shape=value.shape
    )
    traced.model.graph.register_initializer(value)


def write_table(tensor: Tensor, file: BinaryIO, dtype: torch.dtype, tick: Tick) -> None:
    """The embedding sidecar: the raw values, row by row."""
    for chunk in chunks(tensor, dtype):
        file.write(chunk)
        tick(len(chunk))


def ports_of(signature: Signature) -> tuple[tuple[Port, ...], tuple[Port, ...]]:
    def named(ports: tuple[TracePort, ...]) -> tuple[Port, ...]:
        return tuple(Port(port.name, DTYPE_NAMES[port.dtype], port.shape) for port in ports)

    return named(signature.inputs), named(signature.outputs)
