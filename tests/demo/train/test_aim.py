"""Untrained heads of the high tower look at one neighbour each."""

from __future__ import annotations

import torch

from demo.sizes import DEMO_HYBRID
from demo.train.aim import ACROSS, ALONG
from demo.train.model import Learner, sam_tower_of
from export.modules.sam import SamBlock, axes

SIDE = 8


def liked(block: SamBlock, place: tuple[int, int]) -> list[tuple[int, int]]:
    """Of each head, the place that a query at `place` likes best in most of some random maps."""
    torch.manual_seed(0)
    maps = torch.randn(32, SIDE, SIDE, block.qkv.weight.shape[0])
    square = axes(SIDE, maps)
    parts = block.qkv(block.norm1(maps)).chunk(3, dim=-1)
    q, k = (torch.unflatten(part, -1, (block.heads, -1)) for part in parts[:2])
    keys = square.widened_key(k.flatten(1, 2))
    queries = block.widened_query(q, square).flatten(1, 2)
    scores = torch.einsum("nqhd,nkhd->nhqk", queries, keys)[:, :, place[0] * SIDE + place[1]]
    best = scores.argmax(-1).mode(0).values
    return [divmod(int(each), SIDE) for each in best]


def test_blocks_look_to_the_sides_and_up_and_down_in_turns() -> None:
    tower = sam_tower_of(Learner(DEMO_HYBRID, 1).roles["vision_high"])
    for index, aims in ((0, ACROSS), (1, ALONG)):
        block = tower.blocks[index]
        assert isinstance(block, SamBlock)
        with torch.no_grad():
            found = liked(block, (3, 4))
        assert found == [(3 + down, 4 + right) for down, right in aims]
