"""The data files of one graph, filled one tensor at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from edge_runtime.onnxfile import DATA_FILE_BYTES, next_page

CHUNK_BYTES = 4 << 20

Chunk = memoryview | npt.NDArray[Any]  # arrays are C-contiguous


class DataFiles:
    """Writes `ROLE.data`, `ROLE.1.data` and so on beside the graph's path; none of them may exist."""

    def __init__(self, graph_path: Path, limit_bytes: int = DATA_FILE_BYTES) -> None:
        self._graph_path = graph_path
        self._limit_bytes = limit_bytes
        self._count = 0
        self._file: BinaryIO | None = None

    def __enter__(self) -> DataFiles:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def add(
        self, name: str, dtype: ir.DataType, shape: Iterable[int], chunks: Iterable[Chunk]
    ) -> ir.ExternalTensor:
        """Writes a tensor's bytes at the start of a page and says where they lie."""
        sizes = ir.Shape(list(shape))
        length = nbytes_of(dtype, sizes)
        file = self._file_for(length)
        offset = file.tell()
        for chunk in chunks:
            file.write(chunk.data.cast("B") if isinstance(chunk, np.ndarray) else chunk)
        assert file.tell() == offset + length, f"{name} has another size than its place"
        location = Path(file.name).name
        return ir.ExternalTensor(location, offset, length, dtype, name=name, shape=sizes)

    def copy(self, tensor: ir.ExternalTensor) -> ir.ExternalTensor:
        """The same bytes from another graph's data file, a chunk at a time."""
        assert tensor.name is not None
        return self.add(tensor.name, tensor.dtype, sizes_of(tensor), chunks_of(tensor))

    def _file_for(self, length: int) -> BinaryIO:
        """The file that takes `length` more bytes, moved on to the next page."""
        if self._file is not None:
            end = self._file.tell()
            start = next_page(end)
            if start + length <= self._limit_bytes or end == 0:
                self._file.write(bytes(start - end))
                return self._file
            self._file.close()
        suffix = ".data" if self._count == 0 else f".{self._count}.data"
        self._count += 1
        self._file = self._graph_path.with_suffix(suffix).open("xb")
        return self._file


def sizes_of(tensor: ir.TensorProtocol) -> list[int]:
    sizes = [dim for dim in tensor.shape if isinstance(dim, int)]
    assert len(sizes) == len(tensor.shape), f"{tensor.name} has no fixed shape"
    return sizes


def nbytes_of(dtype: ir.DataType, shape: ir.Shape) -> int:
    """The size of the values, the last byte of 4-bit ones padded."""
    count = 1
    for dim in shape:
        assert isinstance(dim, int)
        count *= dim
    return (count * dtype.bitwidth + 7) // 8


def chunks_of(tensor: ir.ExternalTensor) -> Iterator[memoryview]:
    """The bytes of an external tensor; what was yielded is used up before the next."""
    buffer = memoryview(bytearray(CHUNK_BYTES))
    left = nbytes_of(tensor.dtype, ir.Shape(sizes_of(tensor)))
    with Path(tensor.path).open("rb", buffering=0) as file:
        file.seek(tensor.offset or 0)
        while left and (size := file.readinto(buffer[: min(left, CHUNK_BYTES)])):
            left -= size
            yield buffer[:size]


def array_of(tensor: ir.TensorProtocol) -> npt.NDArray[Any]:
    """The values of a float tensor; an external one is mapped, and let go with the array."""
    if not isinstance(tensor, ir.ExternalTensor):
        return tensor.numpy()
    dtype = tensor.dtype.numpy().newbyteorder("<")
    shape = tuple(sizes_of(tensor))
    return np.memmap(tensor.path, dtype=dtype, mode="r", offset=tensor.offset or 0, shape=shape)
