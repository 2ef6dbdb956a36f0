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
from export.ranges import RangeWatch, WeightRange
from export.trace import Signature, Traced, TracePort

Read = Callable[[str], Tensor]  # a parameter by canonical name
Tick = Callable[[int], None]  # bytes written

PAGE_BYTES = 4096  # engines memory-map tensors that begin on a page
CHUNK_ELEMENTS = 4 << 20

TORCH_TYPES = {ir.DataType.FLOAT: torch.float32, ir.DataType.FLOAT16: torch.float16}
DTYPE_NAMES = {torch.float32: "float32", torch.float16: "float16", torch.int64: "int64"}


@dataclass(frozen=True)
class Place:
    """Where one tensor lies in the data file."""

    name: str
    offset: int
    length: int
    dtype: torch.dtype


def write_graph(traced: Traced, path: Path, read: Read, tick: Tick) -> list[WeightRange]:
    """Writes `path` and `path` with the suffix .data, one tensor at a time; tells what each one held."""
    data = path.with_suffix(".data")
    ranges = []
    with data.open("wb") as file:
        for place in places_of(traced):
            file.write(bytes(place.offset - file.tell()))
            watch = RangeWatch(place.name)
            for source, stored in chunks(read(place.name), place.dtype):
                watch.look(source, stored)
                tick(file.write(stored.numpy().data.cast("B")))
            assert file.tell() == place.offset + place.length, f"{place.name} has another size than its hole"
            fill_hole(traced, place, data.name)
            ranges.append(watch.range())
    ir.save(traced.model, path)
    return ranges


def places_of(traced: Traced) -> list[Place]:
    places, end = [], 0
    for name, value in traced.holes.items():
        assert value.dtype is not None, name
        dtype = TORCH_TYPES[value.dtype]
        length = elements_of(value) * dtype.itemsize
        offset = -(-end // PAGE_BYTES) * PAGE_BYTES
        places.append(Place(name, offset, length, dtype))
        end = offset + length
    return places


def elements_of(value: ir.Value) -> int:
    assert value.shape is not None, value.name
    count = 1
    for dim in value.shape:
        assert isinstance(dim, int), f"{value.name} has no fixed shape"
        count *= dim
    return count


def chunks(tensor: Tensor, dtype: torch.dtype) -> Iterator[tuple[Tensor, Tensor]]:
    """The values in row-major order, piece by piece: as they were, and as they are stored."""
    flat = tensor.reshape(-1)  # a copy only where the tensor is a transposed view
    for start in range(0, flat.numel(), CHUNK_ELEMENTS):
        source = flat[start : start + CHUNK_ELEMENTS]
        if source.dtype == torch.float64:
            source = source.float()  # as the reference takes it: fp64 to fp16 at once may differ by a bit
        yield source, source.to(dtype)


def fill_hole(traced: Traced, place: Place, location: str) -> None:
    value = traced.holes[place.name]
    assert value.shape is not None and value.dtype is not None, value.name
    value.const_value = ir.ExternalTensor(
        location, place.offset, place.length, value.dtype, name=place.name, shape=value.shape
    )
    traced.model.graph.register_initializer(value)


def write_table(tensor: Tensor, file: BinaryIO, dtype: torch.dtype, tick: Tick) -> WeightRange:
    """The embedding sidecar: the raw values, row by row."""
    watch = RangeWatch("weight")
    for source, stored in chunks(tensor, dtype):
        watch.look(source, stored)
        tick(file.write(stored.numpy().data.cast("B")))
    return watch.range()


def ports_of(signature: Signature) -> tuple[tuple[Port, ...], tuple[Port, ...]]:
    def named(ports: tuple[TracePort, ...]) -> tuple[Port, ...]:
        return tuple(Port(port.name, DTYPE_NAMES[port.dtype], port.shape) for port in ports)

    return named(signature.inputs), named(signature.outputs)
