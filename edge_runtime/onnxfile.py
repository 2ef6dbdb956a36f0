"""What an .onnx file holds, as far as a bundle is checked: operators, ports and every tensor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edge_runtime.manifest import DTYPE_BITS, Port

PAGE_BYTES = 4096  # engines memory-map tensors that begin on a page
DATA_FILE_BYTES = 1 << 30  # several files are hashed on several cores when a bundle is opened

AttributeValue = int | float | bytes | None
ZERO_POINT_LIMIT = 1 << 20  # bytes that are looked at


def next_page(offset: int) -> int:
    return -(-offset // PAGE_BYTES) * PAGE_BYTES


@dataclass(frozen=True)
class ExternalData:
    location: str
    offset: int
    length: int | None  # None: as long as the tensor


@dataclass(frozen=True, slots=True)
class Tensor:
    """`is_zero` is None where it was not looked at: of what may be a zero point, the values are."""

    name: str
    dtype: str
    dims: tuple[int, ...]
    external: ExternalData | None
    is_zero: bool | None = None

    @property
    def nbytes(self) -> int:
        """The size of the values, the last byte of 4-bit ones padded."""
        count = 1
        for dim in self.dims:
            count *= dim
        return (count * DTYPE_BITS[self.dtype] + 7) // 8


def all_zero(raw: memoryview) -> bool | None:
    """None where there are no bytes to look at, or more than a zero point has."""
    return bytes(raw).count(0) == len(raw) if 0 < len(raw) <= ZERO_POINT_LIMIT else None


@dataclass(frozen=True, slots=True)
class Node:
    """One operator; of its attributes only single numbers and strings are kept, others are None."""

    op_type: str
    domain: str  # "" is ONNX's own
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, AttributeValue]

    @property
    def operator(self) -> str:
        return f"{self.domain}::{self.op_type}" if self.domain else self.op_type


@dataclass(frozen=True)
class Function:
    domain: str
    name: str
    opsets: Mapping[str, int]

    @property
    def operator(self) -> str:
        return f"{self.domain}::{self.name}" if self.domain else self.name


@dataclass(frozen=True)
class OnnxFile:
    """`nodes` and `tensors` are all there are: subgraphs, functions, attributes and training included."""

    ir_version: int
    opsets: Mapping[str, int]
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    initializers: tuple[Tensor, ...]  # of the main graph
    nodes: tuple[Node, ...]
    tensors: tuple[Tensor, ...]
    functions: tuple[Function, ...]
