"""The model that learns is the model that is exported."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from demo.data.scene import Mark
from demo.sizes import DEMO_HYBRID
from demo.tokenizer import tokenizer_json_from_corpus
from demo.train.batch import Batch
from demo.train.contrast import pairwise_sigmoid_loss
from demo.train.dense import CELL, CELLS, dense_accuracy, targets_from_marks
from demo.train.labels import CLASSES
from demo.train.model import Learner, SamMaps
from demo.train.stages import Mixture
from demo.trained_checkpoint import write_trained_checkpoint
from export.checkpoint import Checkpoint
from export.config import spec_from_checkpoint
from export.modules.sam import SamTower
from export.reference import reference_from_checkpoint
from tests.demo.train.small import SPEC


@pytest.fixture(scope="module")
def learner() -> Learner:
    return Learner(SPEC, 3)


def test_the_same_seed_draws_the_same_weights(learner: Learner) -> None:
    again = dict(Learner(SPEC, 3).named_parameters())
    assert all(torch.equal(value, again[name]) for name, value in learner.named_parameters())


def test_whole_sequences_give_the_logits_of_the_reference(learner: Learner, tmp_path: Path) -> None:
    text = tokenizer_json_from_corpus(["a red circle"], SPEC.decoder.vocab)
    out = tmp_path / "checkpoint"
    state = {role: {k: v.half() for k, v in learner.state_of(role).items()} for role in SPEC.roles}
    write_trained_checkpoint(SPEC, state, text, out)
    halved = Learner(SPEC, 4)
    for role in SPEC.roles:
        halved.take(role, state[role])
    with Checkpoint.open(out) as checkpoint:
        spec = spec_from_checkpoint(checkpoint)
        assert spec == SPEC
        reference = reference_from_checkpoint(checkpoint, spec)
        low, high = torch.randn(2, 3, 32, 32), torch.randn(2, 3, 192, 192)
        with torch.no_grad():
            seen = halved.rows_from_pixels(low, high)
            embeds = torch.cat([seen, halved.roles["embed"](torch.arange(10).expand(2, -1))], dim=1)
            length = embeds.shape[1]
            everywhere = torch.arange(length).expand(2, -1)
            nothing = torch.zeros(2, length, dtype=torch.int64)
            batch = Batch(
                ids=nothing,
                is_image=nothing > 0,
                positions=everywhere,
                branches=nothing,
                rows=everywhere,
                targets=nothing,
                weights=nothing.float(),
                low=None,
                high=None,
                answers=(),
            )
            found = halved.logits(embeds, batch)
        torch.testing.assert_close(seen, reference.vision(low, high), rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(found, reference.logits(embeds), rtol=1e-4, atol=1e-4)


def test_equal_weights_give_equal_files_that_state_their_types(learner: Learner, tmp_path: Path) -> None:
    text = tokenizer_json_from_corpus(["a red circle"], SPEC.decoder.vocab)
    state = {role: learner.state_of(role) for role in SPEC.roles}
    for name in ("one", "other"):
        write_trained_checkpoint(SPEC, state, text, tmp_path / name)
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "other" / name).read_bytes()
    config = json.loads((tmp_path / "one" / "config.json").read_text(encoding="utf-8"))
    assert config["model_type"] == "deepseek_vl_hybrid"


def test_the_shipped_size_fits_its_twelve_megabytes() -> None:
    parameters = sum(value.numel() for value in Learner(DEMO_HYBRID, 0).parameters())
    assert 2 * parameters < 11_500_000


def test_the_towers_map_and_its_features_come_from_one_pass(learner: Learner) -> None:
    tower = learner.roles["vision_high"]
    assert isinstance(tower, SamTower)
    pixels = torch.randn(1, 3, 192, 192)
    with torch.no_grad():
        mixed, features = SamMaps(tower)(pixels)
        assert torch.equal(features, tower(pixels))
    assert mixed.shape == (1, 16, 16, 8)


def test_a_mark_labels_the_cell_of_its_middle_and_knows_its_edges() -> None:
    targets = targets_from_marks([Mark("red circle", (16, 32, 80, 98)), Mark("K", (12, 0, 24, 12))], CLASSES)
    assert targets.labels[0, 1] == CLASSES["K"]
    assert targets.labels[5, 4] == CLASSES["red circle"]
    assert np.count_nonzero(targets.labels) == 2
    left, top, right, bottom = targets.edges[5, 4] * CELL
    found = (4 * CELL - left, 5 * CELL - top, 4 * CELL + right, 5 * CELL + bottom)
    assert found == pytest.approx((16, 32, 80, 98))


def test_small_things_are_not_hidden_by_large_ones_around_them() -> None:
    marks = [Mark("needle tip", (92, 92, 96, 96)), Mark("red circle", (40, 40, 152, 148))]
    targets = targets_from_marks(marks, CLASSES)
    assert targets.labels[7, 7] == CLASSES["needle tip"]


def test_accuracy_counts_only_cells_that_hold_something() -> None:
    labels = torch.zeros(1, CELLS, CELLS, dtype=torch.int64)
    labels[0, 0, :2] = 5
    found = torch.zeros(1, CELLS, CELLS, 10 + 4)
    found[0, 0, 0, 5] = 1.0
    assert dense_accuracy(found, labels) == 0.5


def test_the_sigmoid_loss_judges_every_pair_by_itself() -> None:
    logits = torch.tensor([[2.0, -1.0], [0.5, 3.0]])

    def cost(value: float) -> float:
        return float(torch.log1p(torch.exp(torch.tensor(-value))))

    expected = (cost(2.0) + cost(1.0) + cost(-0.5) + cost(3.0)) / 2
    assert float(pairwise_sigmoid_loss(logits)) == pytest.approx(expected)


def test_language_sinks_from_everything_to_its_share() -> None:
    mixture = Mixture(0.7, 10)
    shares = [mixture.at(step) for step in range(12)]
    assert shares[0] == 1.0
    assert shares == sorted(shares, reverse=True)
    assert shares[-1] == 0.7
