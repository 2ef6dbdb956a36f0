"""The adaptors against transformers and against the formula, and their graphs against themselves."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from edge_runtime.spec import AdaptorSpec
from export.modules.adaptor import HybridAdaptor, MlpAdaptor
from tests.export.modules_graph import BATCH, Args, graph_from_fakes, graph_from_module
from tests.export.modules_oracle import HYBRID, PLAIN, assert_close, oracle, randomise

HYBRID_SPEC = AdaptorSpec("hybrid_split_mlp_gelu", 2, low_width=24, high_width=16, width=20)
MLP_SPEC = AdaptorSpec("mlp_gelu", 2, low_width=24, high_width=0, width=20)


@pytest.mark.parametrize("name", PLAIN)
def test_mlp_matches_transformers(name: str) -> None:
    twin = oracle(PLAIN[name], seed=2)
    low = torch.randn(3, twin.spec.low.tokens, twin.spec.low.width)
    assert_close(twin.reference().adapt(None, low), twin.model.model.aligner(low))


@pytest.mark.parametrize("name", HYBRID)
def test_hybrid_matches_transformers(name: str) -> None:
    twin = oracle(HYBRID[name], seed=2)
    low = torch.randn(3, twin.spec.low.tokens, twin.spec.low.width)
    high = torch.randn(3, twin.spec.low.tokens, twin.spec.adaptor.high_width)
    assert_close(twin.reference().adapt(high, low), twin.model.model.aligner(low, high))


@pytest.mark.parametrize("depth", [1, 3])
def test_mlp_of_any_depth_has_an_activation_between_linears_only(depth: int) -> None:
    adaptor = MlpAdaptor(AdaptorSpec("mlp_gelu", depth, 6, 0, 10))
    randomise(adaptor, seed=1)
    x = low = torch.randn(2, 3, 6)
    for i in range(depth):
        x = F.gelu(x) if i else x
        x = x @ adaptor.get_parameter(f"fc.{i}.weight") + adaptor.get_parameter(f"fc.{i}.bias")
    assert_close(adaptor(low), x, 1e-6)


@pytest.mark.parametrize("depth", [1, 3])
def test_hybrid_of_any_depth_counts_the_first_projections_as_one(depth: int) -> None:
    adaptor = HybridAdaptor(AdaptorSpec("hybrid_split_mlp_gelu", depth, 6, 4, 10))
    randomise(adaptor, seed=1)
    high, low = torch.randn(2, 3, 4), torch.randn(2, 3, 6)
    sides = [
        x @ adaptor.get_parameter(f"{name}.weight") + adaptor.get_parameter(f"{name}.bias")
        for name, x in (("high", high), ("low", low))
    ]
    x = torch.cat(sides, -1)
    for i in range(depth - 1):
        x = F.gelu(x) @ adaptor.get_parameter(f"fc.{i}.weight") + adaptor.get_parameter(f"fc.{i}.bias")
    assert len(adaptor.fc) == depth - 1
    assert_close(adaptor(high, low), x, 1e-6)


def test_mlp_graph_matches_the_module_at_other_batches() -> None:
    adaptor = MlpAdaptor(MLP_SPEC)
    randomise(adaptor, seed=3)
    graph = graph_from_module(adaptor, (torch.randn(2, 9, 24),), [{0: BATCH}])
    for batch in (1, 3):
        graph.agrees(adaptor, torch.randn(batch, 9, 24))


def test_hybrid_graph_matches_the_module_at_other_batches() -> None:
    adaptor = HybridAdaptor(HYBRID_SPEC)
    randomise(adaptor, seed=3)
    graph = graph_from_module(
        adaptor, (torch.randn(2, 9, 16), torch.randn(2, 9, 24)), [{0: BATCH}, {0: BATCH}]
    )
    for batch in (1, 3):
        graph.agrees(adaptor, torch.randn(batch, 9, 16), torch.randn(batch, 9, 24))


def test_graph_traced_without_values_matches_the_module() -> None:
    adaptor = HybridAdaptor(HYBRID_SPEC)
    randomise(adaptor, seed=4)

    def make() -> tuple[nn.Module, Args]:
        return HybridAdaptor(HYBRID_SPEC), (torch.empty(2, 9, 16), torch.empty(2, 9, 24))

    graph = graph_from_fakes(make, [{0: BATCH}, {0: BATCH}], adaptor.state_dict())
    graph.agrees(adaptor, torch.randn(3, 9, 16), torch.randn(3, 9, 24))
