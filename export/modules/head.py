"""The LM head, whole or in parts."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from edge_runtime.spec import DecoderSpec
from export.modules.form import DecoderForm
from export.modules.linear import Linear, empty_parameter

PART = "weight_"
GRAIN = 8  # columns: what is cut at odd ones cannot be stored in 4 bits, two to a byte


class SplitHead(nn.Module):
    """`x @ weight` with the columns of weight [D, V] in parts, joined again.

    Building one product of this width asks boards of 8 GB for more contiguous memory than they have.
    """

    def __init__(self, width: int, columns: int, parts: int, dtype: torch.dtype) -> None:
        super().__init__()
        for number, (start, stop) in enumerate(column_ranges(columns, parts)):
            weight = empty_parameter(width, stop - start, dtype=dtype)
            self.register_parameter(f"{PART}{number}", weight)

    def forward(self, x: Tensor) -> Tensor:
        weights = list(self.parameters())
        return torch.cat([x.to(weight.dtype) @ weight for weight in weights], dim=-1)


def head_from_form(spec: DecoderSpec, form: DecoderForm, dtype: torch.dtype) -> nn.Module:
    if form.head_parts == 1:
        return Linear(spec.width, spec.vocab, dtype, has_bias=False)
    return SplitHead(spec.width, spec.vocab, form.head_parts, dtype)


def column_ranges(columns: int, parts: int) -> list[tuple[int, int]]:
    """As even as multiples of `GRAIN` can be, the wider ones first; what is left over is in the last.

    Heads so narrow that a part would be empty are cut at any column.
    """
    grain = GRAIN if columns >= GRAIN * parts else 1
    small, wide = divmod(columns // grain, parts)
    starts = [grain * (index * small + min(index, wide)) for index in range(parts)]
    return list(pairwise([*starts, columns]))


def part_of_head(name: str) -> int | None:
    """Which part of the head a parameter of `SplitHead` is; None for anything else."""
    stem = f"head.{PART}"
    return int(name[len(stem) :]) if name.startswith(stem) else None
