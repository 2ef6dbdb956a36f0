"""Where the high tower's heads look before they have learnt anything: at their neighbours.

Heads that start by looking everywhere see an average of everything, and need thousands of pictures to find
out that a stroke goes on in the next patch. Aimed at one neighbour each, two blocks see what a convolution
sees; training moves them on from there.
"""

from __future__ import annotations

import torch
from torch import Tensor

from export.modules.sam import SamBlock, SamTower

ACROSS = ((0, -1), (0, 1), (0, 0))  # (rows down, columns right) for head 0, 1, 2, ...
ALONG = ((-1, 0), (1, 0), (0, 0))
SHARPNESS = 2.0  # how much less a head likes what lies one patch beside its aim
QUIET = 0.3  # of their size: queries and keys, so that contents do not drown the aim at first


def aim_heads(tower: SamTower) -> None:
    """Blocks look to the sides and up and down in turns."""
    for index, block in enumerate(tower.blocks):
        assert isinstance(block, SamBlock)
        aim_block(block, ALONG if index % 2 else ACROSS)


@torch.no_grad()
def aim_block(block: SamBlock, aims: tuple[tuple[int, int], ...]) -> None:
    width, head_dim = block.qkv.weight.shape[0], block.rel_h.shape[1]
    block.qkv.weight[:, : 2 * width] *= QUIET
    assert block.qkv.bias is not None
    # Relative tables are shared by all heads and read off by each head's query: head h asks with the h-th
    # part of its query alone, where the tables hold the scores of its aim.
    part = head_dim // len(aims)
    for head in range(block.heads):
        down, right = aims[head % len(aims)]
        rows = slice((head % len(aims)) * part, (head % len(aims) + 1) * part)
        start = head * head_dim
        block.qkv.bias[start + rows.start : start + rows.stop] = 1.0
        block.rel_h[:, rows] = scores(block.rel_h.shape[0], down)[:, None] / part
        block.rel_w[:, rows] = scores(block.rel_w.shape[0], right)[:, None] / part


def scores(offsets: int, aim: int) -> Tensor:
    """By the row of a relative table, which counts from the query's place minus the key's."""
    apart = torch.arange(offsets) - offsets // 2  # query - key
    return -SHARPNESS * (-apart - aim).square().clamp(max=9).float()
