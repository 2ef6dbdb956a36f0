"""Where a token is, for a tower to begin with: waves along the rows and the columns, from four times the picture's side down to four tokens."""

from __future__ import annotations

import math

import torch
from torch import Tensor

SHORTEST = 4.0  # tokens


def waves(side: int, width: int) -> Tensor:
    """(side², width), each between -1 and 1: a quarter sines and a quarter cosines of the row, and as many of the column."""
    lengths = torch.logspace(math.log10(4.0 * side), math.log10(SHORTEST), width // 4)
    turns = 2 * math.pi * torch.arange(side)[:, None] / lengths
    one = torch.cat([turns.sin(), turns.cos()], dim=1)  # (side, width / 2)
    row, column = (each.expand(side, side, one.shape[1]) for each in (one[:, None], one[None]))
    return torch.cat([row, column], dim=-1).flatten(0, 1)
