"""Where things lie, asked of a picture's own tokens: which cell each one is, and the box of the shape whose middle lies in it.

Questions about boxes are too few to teach columns that the towers do not pass on (docs/decisions.md).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from demo.data.scene import Mark, box_text
from demo.data.shape import KINDS
from demo.train.dense import CELL, CELLS, area, cell_of

HEARD = 2  # the block of the decoder after which a token should know its box; those behind it find the token and copy
EDGES, DIGITS, TEN = 4, 3, 10
GAIN = 8.0  # readers learn so much faster than what they read: they are there to be followed
NOTHING = -100  # no target, as cross entropy has it
Marks = Sequence[Sequence[Mark]]  # of each picture


class Whereabouts(nn.Module):
    """Two readers that are thrown away when the stage is over."""

    def __init__(self, width: int, decoder: nn.Module) -> None:
        super().__init__()
        self.cell = Reader(width, 2 * CELLS)
        self.box = Reader(width, EDGES * DIGITS * TEN)
        blocks = decoder.get_submodule("blocks")
        assert isinstance(blocks, nn.ModuleList)
        blocks[min(HEARD, len(blocks) - 1)].register_forward_hook(self._hear)
        self._heard: Tensor | None = None

    def _hear(self, _block: nn.Module, _given: object, said: tuple[Tensor, ...]) -> None:
        self._heard = said[0]

    def cells(self, rows: Tensor) -> tuple[Tensor, float]:
        """Of the adaptor's tokens (P, CELLS², D) their rows and columns: the loss, and the share that is right."""
        found = self.cell(rows).reshape(-1, CELLS, CELLS, 2, CELLS)
        order = torch.arange(CELLS)
        wanted = torch.stack(torch.meshgrid(order, order, indexing="ij"), dim=-1).expand(found.shape[:-1])
        return judged(found, wanted)

    def boxes(self, is_image: Tensor, marks: Marks) -> tuple[Tensor, float]:
        """Of what the decoder made of image tokens: the digits of each shape's box."""
        assert self._heard is not None, "the decoder has not been asked"
        wanted = torch.from_numpy(np.stack([digits_of(each) for each in marks])).flatten(0, 2)
        is_shape = wanted[:, 0, 0] != NOTHING
        found = self.box(self._heard[is_image][is_shape]).reshape(-1, EDGES, DIGITS, TEN)
        return judged(found, wanted[is_shape]) if bool(is_shape.any()) else (found.sum(), 0.0)


class Reader(nn.Module):
    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.norm, self.linear = nn.LayerNorm(width), nn.Linear(width, outputs)
        with torch.no_grad():
            self.linear.weight /= GAIN
            self.linear.bias.zero_()

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = GAIN * self.linear(self.norm(x.float()))
        return found


def judged(found: Tensor, wanted: Tensor) -> tuple[Tensor, float]:
    """Scores (..., choices) against the right choices (...)."""
    right = (found.detach().argmax(-1) == wanted).float().mean()
    return F.cross_entropy(found.float().flatten(0, -2), wanted.flatten()), float(right)


def digits_of(marks: Sequence[Mark]) -> npt.NDArray[np.int64]:
    """(CELLS, CELLS, EDGES, DIGITS), as an answer spells them."""
    digits = np.full((CELLS, CELLS, EDGES, DIGITS), NOTHING, np.int64)
    for mark in sorted(marks, key=area, reverse=True):
        if mark.label.split()[-1] in KINDS:
            left, top, right, bottom = (value / CELL for value in mark.box)
            spelt = box_text(mark.box)[1:-1].split(",")
            digits[cell_of(top, bottom), cell_of(left, right)] = [[*map(int, each)] for each in spelt]
    return digits
