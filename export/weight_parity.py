"""Are the bundle's weights those of its checkpoint, bit for bit?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from edge_runtime.bundle import Bundle
from edge_runtime.dialects import Dialect
from edge_runtime.spec import Role
from export.graphfile import chunks
from export.modules.head import column_ranges, part_of_head
from export.modules.reference import Reference

TORCH_TYPES = {"float32": torch.float32, "float16": torch.float16}


@dataclass(frozen=True)
class WeightParity:
    """A role's parameters against what the bundle stores: names of those that are other or not there.

    Outputs cannot show every change: what a norm follows may grow as it likes, and half a percent drowns in fp16.
    """

    role: Role
    dialect: Dialect | None
    compared: int
    differing: tuple[str, ...]

    @property
    def is_passed(self) -> bool:
        return not self.differing


@dataclass(frozen=True)
class Stored:
    """One tensor's bytes in a bundle."""

    path: Path
    offset: int
    length: int
    dtype: str

    def holds(self, tensor: Tensor) -> bool:
        """Whether these are the tensor's values, rounded to the stored type."""
        dtype = TORCH_TYPES.get(self.dtype)
        if dtype is None or tensor.numel() * dtype.itemsize != self.length:
            return False
        held = np.memmap(self.path, dtype=np.uint8, mode="r", offset=self.offset, shape=(self.length,))
        start = 0
        for _, rounded in chunks(tensor.detach(), dtype):
            chunk = rounded.view(torch.uint8).numpy()
            if not np.array_equal(held[start : start + len(chunk)], chunk):
                return False
            start += len(chunk)
        return True


def weight_parity(bundle: Bundle, reference: Reference, role: Role, dialect: Dialect = "ort") -> WeightParity:
    """Every parameter of the role. Only for graphs in floating point: quantised ones store other numbers."""
    stored = dict(stored_tensors(bundle, role, dialect))
    names, differing = 0, []
    for name, value in reference.parameters(role):
        names += 1
        parts = stored_parts(stored, name)
        if not parts or not are_held(parts, value):
            differing.append(name)
    return WeightParity(role, None if role == "embed" else dialect, names, tuple(sorted(differing)))


def stored_parts(stored: Mapping[str, Stored], name: str) -> list[Stored]:
    """The tensor of that name, or what a head was cut into."""
    if name in stored:
        return [stored[name]]
    if name != "head.weight":
        return []
    numbered = {part_of_head(other): each for other, each in stored.items()}
    return [numbered[number] for number in sorted(number for number in numbered if number is not None)]


def are_held(parts: Sequence[Stored], value: Tensor) -> bool:
    if len(parts) == 1:
        return parts[0].holds(value)
    ranges = column_ranges(value.shape[1], len(parts))
    return all(part.holds(value[:, slice(*columns)]) for part, columns in zip(parts, ranges, strict=True))


def stored_tensors(bundle: Bundle, role: Role, dialect: Dialect) -> Iterator[tuple[str, Stored]]:
    if role == "embed":
        table = bundle.manifest.embedding
        yield "weight", Stored(bundle.path_of(table), 0, table.sizes[table.path], table.dtype)
        return
    graph = bundle.graph(role, dialect)
    for tensor in bundle.onnx_file(graph).tensors:
        if tensor.external is not None:
            data = bundle.path_of(graph).parent / tensor.external.location
            yield tensor.name, Stored(data, tensor.external.offset, tensor.nbytes, tensor.dtype)
