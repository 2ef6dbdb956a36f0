"""A traced graph on disk: a small .onnx file, and a .data file filled one tensor at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import BinaryIO

import onnx_ir as ir
import torch
from torch import Tensor

from edge_runtime.manifest import Port
from edge_runtime.onnxfile import DATA_FILE_BYTES, next_page
from export.ranges import RangeWatch, WeightRange
from export.trace import Signature, Traced, TracePort

Read = Callable[[str], Tensor]  # a parameter by canonical name
Tick = Callable[[int], None]  # bytes written

CHUNK_ELEMENTS = 4 << 20

TORCH_TYPES = {ir.DataType.FLOAT: torch.float32, ir.DataType.FLOAT16: torch.float16}
DTYPE_NAMES = {torch.float32: "float32", torch.float16: "float16", torch.int64: "int64"}


@dataclass(frozen=True)
class Place:
    """Where one tensor lies: in which data file, and where in it."""

    name: str
    file: int
    offset: int
    length: int
    dtype: torch.dtype


def write_graph(traced: Traced, path: Path, read: Read, tick: Tick) -> list[WeightRange]:
    """Writes `path` and its data files beside it, one tensor at a time; tells what each one held."""
    ranges = []
    for number, places in groupby(places_of(traced), key=lambda place: place.file):
        data = data_path(path, number)
        with data.open("wb") as file:
            for place in places:
                file.write(bytes(place.offset - file.tell()))
                ranges.append(write_tensor(place, read(place.name), file, tick))
                fill_hole(traced, place, data.name)
    ir.save(traced.model, path)
    return ranges


def data_path(path: Path, number: int) -> Path:
    return path.with_suffix(".data" if number == 0 else f".{number}.data")


def write_tensor(place: Place, tensor: Tensor, file: BinaryIO, tick: Tick) -> WeightRange:
    watch = RangeWatch(place.name)
    for source, stored in chunks(tensor, place.dtype):
        watch.look(source, stored)
        tick(file.write(stored.numpy().data.cast("B")))
    assert file.tell() == place.offset + place.length, f"{place.name} has another size than its hole"
    return watch.range()


def places_of(traced: Traced) -> list[Place]:
    places, end, file = [], 0, 0
    for name, value in traced.holes.items():
        assert value.dtype is not None, name
        dtype = TORCH_TYPES[value.dtype]
        length = elements_of(value) * dtype.itemsize
        offset = next_page(end)
        if offset + length > DATA_FILE_BYTES and offset > 0:
            offset, file = 0, file + 1
        places.append(Place(name, file, offset, length, dtype))
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
