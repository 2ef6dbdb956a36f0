"""The high tower's dense task: which thing has its middle in each cell of the picture, and where its edges are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from demo.data.scene import CANVAS, Mark

CELL = 12  # canvas pixels: a small symbol's pitch, and what one image token stands for
CELLS = CANVAS // CELL
EMPTY_WEIGHT = 0.15
EDGE_WEIGHT = 0.5


@dataclass(frozen=True)
class DenseTargets:
    labels: npt.NDArray[np.int64]  # (CELLS, CELLS); 0 is nothing
    edges: npt.NDArray[np.float32]  # (CELLS, CELLS, 4): left, top, right, bottom, in cells, of labelled cells


def targets_from_marks(marks: Sequence[Mark], classes: dict[str, int]) -> DenseTargets:
    """Larger marks first, so that what lies inside another (a needle tip in a dial) is not hidden."""
    labels = np.zeros((CELLS, CELLS), np.int64)
    edges = np.zeros((CELLS, CELLS, 4), np.float32)
    for mark in sorted(marks, key=area, reverse=True):
        left, top, right, bottom = (value / CELL for value in mark.box)
        row, column = cell_of(top, bottom), cell_of(left, right)
        labels[row, column] = classes[mark.label]
        edges[row, column] = (column - left, row - top, right - column, bottom - row)
    return DenseTargets(labels, edges)


def area(mark: Mark) -> float:
    left, top, right, bottom = mark.box
    return (right - left) * (bottom - top)


def cell_of(start: float, stop: float) -> int:
    return min(CELLS - 1, max(0, int((start + stop) / 2)))


class DenseHead(nn.Module):
    """Reads the labels twice: off the tower's map, and off the few tokens the decoder will see."""

    def __init__(self, neck_width: int, width: int, grid: int, tokens_side: int, classes: int) -> None:
        super().__init__()
        self.per_map = CELLS // grid  # cells along one side of a map position
        self.per_token = CELLS // tokens_side
        self.outputs = classes + 4
        self.from_map = nn.Linear(neck_width, self.outputs * self.per_map**2)
        self.from_token = nn.Linear(width, self.outputs * self.per_token**2)

    def forward(self, mixed: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Two maps (B, CELLS, CELLS, classes + 4)."""
        side = int(tokens.shape[1] ** 0.5)
        near = spread(self.from_map(mixed), self.per_map, self.outputs)
        far = spread(torch.unflatten(self.from_token(tokens), 1, (side, side)), self.per_token, self.outputs)
        return near, far


def spread(x: Tensor, side: int, outputs: int) -> Tensor:
    """(B, g, g, side² * outputs) -> (B, g * side, g * side, outputs)."""
    batch, grid = x.shape[:2]
    x = x.reshape(batch, grid, grid, side, side, outputs).permute(0, 1, 3, 2, 4, 5)
    return x.reshape(batch, grid * side, grid * side, outputs)


def dense_loss(found: Tensor, labels: Tensor, edges: Tensor) -> Tensor:
    classes = found.shape[-1] - 4
    weights = torch.ones(classes)
    weights[0] = EMPTY_WEIGHT
    loss = F.cross_entropy(found[..., :classes].flatten(0, 2).float(), labels.flatten(), weights)
    is_thing = labels > 0
    apart = F.smooth_l1_loss(found[..., classes:][is_thing].float(), edges[is_thing], beta=0.25)
    return loss + EDGE_WEIGHT * apart


def dense_accuracy(found: Tensor, labels: Tensor) -> float:
    """Of the cells that hold something."""
    is_thing = labels > 0
    chosen = found[..., :-4].argmax(dim=-1)
    return float((chosen[is_thing] == labels[is_thing]).float().mean())
