"""The SAM tower against transformers, its two foldings against the plain formulas, its graph."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from edge_runtime.spec import SamSpec
from export.modules.sam import SamBlock, SamTower, axes, map_from_windows, windows_from_map
from export.modules.spelling import Eager
from tests.export.modules_graph import BATCH, Args, graph_from_fakes, graph_from_module
from tests.export.modules_oracle import HYBRID, assert_close, oracle, randomise, spec_from_sizes


def spec_of(name: str) -> SamSpec:
    spec = spec_from_sizes(HYBRID[name]).high
    assert spec is not None
    return spec


def tower_of(spec: SamSpec, seed: int) -> SamTower:
    tower = SamTower(spec, Eager())
    randomise(tower, seed)
    return tower


def pixels_for(spec: SamSpec, batch: int) -> Tensor:
    return torch.randn(batch, 3, spec.image_size, spec.image_size, generator=torch.Generator().manual_seed(9))


@pytest.mark.parametrize("name", HYBRID)
@pytest.mark.parametrize("seed", [0, 1])
def test_tower_matches_transformers(name: str, seed: int) -> None:
    twin = oracle(HYBRID[name], seed)
    feed = twin.pixels(seed, count=3)
    theirs = twin.model.model.get_image_features(**feed).high_res_vision_last_hidden_state
    assert_close(twin.reference().vision_high(feed["high_res_pixel_values"]), theirs)


def naive_attend(block: SamBlock, x: Tensor) -> Tensor:
    """Scores with a relative term for the query's and key's rows, and one for their columns."""
    n, side, _, width = x.shape
    heads = block.heads
    q, k, v = (p.reshape(n, side * side, heads, -1) for p in block.qkv(x).chunk(3, -1))
    scores = torch.einsum("nshd,nthd->nhst", q, k) * block.scale
    for s in range(side * side):
        for t in range(side * side):
            row = s // side - t // side + side - 1
            column = s % side - t % side + side - 1
            scores[:, :, s, t] += q[:, s] @ block.rel_h[row] + q[:, s] @ block.rel_w[column]
    out = torch.einsum("nhst,nthd->nshd", scores.softmax(-1), v)
    attended: Tensor = block.proj(out.reshape(n, side, side, width))
    return attended


@pytest.mark.parametrize("index", [0, 2], ids=["window", "global"])
def test_folded_relative_positions_equal_the_plain_formula(index: int) -> None:
    spec = spec_of("whole-windows")
    block = SamBlock(spec, index, Eager(), torch.float32)
    randomise(block, seed=3)
    side = spec.grid if index in spec.global_blocks else spec.window
    x = torch.randn(2, side, side, spec.width)
    assert_close(block.attend(x, axes(side, x)), naive_attend(block, x), 1e-5)


def test_one_pass_over_the_mixed_paths_equals_two_passes() -> None:
    spec = spec_of("padded-windows")
    tower = tower_of(spec, seed=4)
    tower.alpha.fill_(0.37)
    pixels = pixels_for(spec, 2)
    last, side = tower.trunk(tower.patch(pixels).permute(0, 2, 3, 1) + tower.position)

    def one_pass(x: Tensor) -> Tensor:
        resized = Eager().resize(x.permute(0, 3, 1, 2), spec.resized_grid)
        down: Tensor = tower.down2(tower.down1(resized))
        return down.flatten(2).transpose(1, 2)

    wanted = one_pass(tower.neck(last)) + 0.37 * one_pass(tower.side(side))
    assert_close(tower(pixels), wanted, 1e-5)
    assert not torch.allclose(one_pass(tower.neck(last)), wanted, atol=1e-2), "the side path does nothing"


class Biggest(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """The most elements any operation gave."""

    numel = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if isinstance(out, Tensor):
            self.numel = max(self.numel, out.numel())
        return out


class Blind(Eager):
    """Attention that costs nothing, so that only the module's own work is measured."""

    def attention(self, q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
        return v.flatten(2)


def test_no_bias_of_the_size_of_the_scores_is_ever_made() -> None:
    spec = replace(spec_of("padded-windows"), image_size=64, patch_size=2)
    tower = SamTower(spec, Blind())
    randomise(tower, seed=0)
    with Biggest() as biggest:  # type: ignore[no-untyped-call]
        tower(pixels_for(spec, 1))
    one_head = (spec.grid * spec.grid) ** 2
    assert 0 < biggest.numel < one_head, f"{biggest.numel} elements, one head's scores are {one_head}"


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 12), st.integers(1, 9), st.integers(1, 3))
def test_windows_give_the_map_back(grid: int, window: int, batch: int) -> None:
    x = torch.arange(batch * grid * grid * 2, dtype=torch.float32).reshape(batch, grid, grid, 2)
    tiles = windows_from_map(x, window)
    assert torch.equal(map_from_windows(tiles, grid), x)
    assert tiles.sum() == x.sum(), "padding is not zero"


def test_graph_matches_the_module_at_other_batches() -> None:
    spec = spec_of("padded-windows")
    tower = tower_of(spec, seed=6)
    graph = graph_from_module(tower, (pixels_for(spec, 2),), [{0: BATCH}])
    for batch in (1, 3):
        graph.agrees(tower, pixels_for(spec, batch))


def test_graph_traced_without_values_matches_the_module() -> None:
    spec = spec_of("window-wider-than-grid")
    tower = tower_of(spec, seed=7)

    def make() -> tuple[nn.Module, Args]:
        return SamTower(spec, Eager()), (torch.empty(2, 3, spec.image_size, spec.image_size),)

    graph = graph_from_fakes(make, [{0: BATCH}], tower.state_dict())
    graph.agrees(tower, pixels_for(spec, 3))
