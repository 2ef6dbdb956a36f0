"""The SigLIP tower against transformers, and its graph against itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn
from transformers import SiglipVisionConfig, SiglipVisionModel

from export.modules.role import fill
from export.modules.siglip import SiglipTower
from export.modules.spelling import Eager
from tests.export.modules_graph import BATCH, Args, graph_from_fakes, graph_from_module
from tests.export.modules_oracle import PLAIN, assert_close, randomise, siglip_spec
from tests.export.modules_state import low_state


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize(("ours", "theirs"), [("gelu", "gelu"), ("gelu_tanh", "gelu_pytorch_tanh")])
def test_tower_matches_transformers(name: str, ours: Any, theirs: str) -> None:
    sizes = PLAIN[name].low
    model: Any = SiglipVisionModel(SiglipVisionConfig(**sizes, hidden_act=theirs, vision_use_head=False))
    model.eval().requires_grad_(False)
    randomise(model, seed=5)
    held = {f"model.{key}": value for key, value in model.state_dict().items()}
    tower = SiglipTower(replace(siglip_spec(sizes), activation=ours), Eager())
    fill(tower, "vision_low", low_state(held, "model", sizes["num_hidden_layers"]))
    pixels = torch.randn(3, 3, sizes["image_size"], sizes["image_size"])
    assert_close(tower(pixels), model(pixels).last_hidden_state)


def test_graph_matches_the_module_at_other_batches() -> None:
    tower = SiglipTower(siglip_spec(PLAIN["ragged-patches"].low), Eager())
    randomise(tower, seed=1)
    graph = graph_from_module(tower, (torch.randn(2, 3, 75, 75),), [{0: BATCH}])
    for batch in (1, 3):
        graph.agrees(tower, torch.randn(batch, 3, 75, 75))


def test_graph_traced_without_values_matches_the_module() -> None:
    spec = siglip_spec(PLAIN["one-kv-head"].low)
    tower = SiglipTower(spec, Eager())
    randomise(tower, seed=2)

    def make() -> tuple[nn.Module, Args]:
        return SiglipTower(spec, Eager()), (torch.empty(2, 3, 40, 40),)

    graph = graph_from_fakes(make, [{0: BATCH}], tower.state_dict())
    graph.agrees(tower, torch.randn(3, 3, 40, 40))
