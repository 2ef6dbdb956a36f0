"""A picture's tokens are asked where they are."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from demo.data.scene import Mark, box_text
from demo.train.dense import CELL, CELLS
from demo.train.model import Learner
from demo.train.positions import SHORTEST, waves
from demo.train.whereabouts import NOTHING, Whereabouts, digits_of
from tests.demo.train.small import SPEC

WIDTH = SPEC.decoder.width


@pytest.fixture
def learner() -> Learner:
    return Learner(SPEC, 3)


def test_the_digits_are_those_of_the_answer_and_lie_in_the_cell_of_the_middle() -> None:
    box = (2 * CELL, 3 * CELL, 5 * CELL, 6 * CELL)
    digits = digits_of([Mark("red circle", box), Mark("K", (0, 0, CELL, CELL))])
    assert np.argwhere(digits[:, :, 0, 0] != NOTHING).tolist() == [[4, 3]]
    spelt = ",".join("".join(map(str, edge)) for edge in digits[4, 3].tolist())
    assert f"[{spelt}]" == box_text(box)


def test_what_lies_inside_another_is_not_hidden() -> None:
    inner, outer = (4 * CELL, 4 * CELL, 5 * CELL, 5 * CELL), (2 * CELL, 2 * CELL, 7 * CELL, 7 * CELL)
    both = digits_of([Mark("red circle", inner), Mark("blue ring", outer)])
    assert np.array_equal(both, digits_of([Mark("red circle", inner)]))


def test_cells_are_learnt_off_tokens_that_tell_them_and_not_off_others(learner: Learner) -> None:
    """The readers can tell the two cases apart: else they would teach nothing."""

    def taught(rows: torch.Tensor) -> float:
        torch.manual_seed(5)
        reader = Whereabouts(WIDTH, learner.roles["decoder"])
        optimizer = torch.optim.Adam(reader.parameters(), 1e-3)
        for _ in range(60):
            optimizer.zero_grad()
            loss, _ = reader.cells(rows)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        return reader.cells(rows)[1]

    alike = torch.randn(1, 1, WIDTH, generator=torch.Generator().manual_seed(1)).expand(1, CELLS**2, -1)
    assert taught(waves(CELLS, WIDTH)[None]) > 0.6
    assert taught(alike) == pytest.approx(1 / CELLS, abs=0.01)


def test_boxes_are_read_off_the_decoder_and_teach_the_towers(learner: Learner) -> None:
    reader = Whereabouts(WIDTH, learner.roles["decoder"])
    learner.learn(["vision_low", "adaptor", "decoder"])
    seen = learner.rows_from_pixels(torch.randn(1, 3, 32, 32), torch.randn(1, 3, 192, 192))
    nothing = [(seen.new_zeros(0), seen.new_zeros(0))] * SPEC.decoder.layers
    order = torch.arange(CELLS**2)[None]
    learner.spelling.arrange(order, torch.zeros_like(order))
    learner.roles["decoder"](seen, torch.zeros(1, dtype=torch.int64), order[:, :1], nothing)
    is_image = torch.ones(1, CELLS**2, dtype=torch.bool)
    marks = [[Mark("red circle", (10, 20, 40, 50))]]
    loss, right = reader.boxes(is_image, marks)
    assert 0 <= right <= 1
    loss.backward()  # type: ignore[no-untyped-call]
    for role in ("vision_low", "adaptor"):
        assert any(
            each.grad is not None and each.grad.abs().sum() > 0 for each in learner.roles[role].parameters()
        )
    assert float(reader.boxes(is_image, [[]])[0].detach()) == 0


def test_every_place_has_waves_of_its_own() -> None:
    table = waves(16, 96)
    assert table.shape == (256, 96)
    apart = torch.cdist(table, table) + 10 * torch.eye(256)
    assert float(apart.min()) > 0.5
    assert float(table.abs().max()) <= 1
    assert SHORTEST >= 2, "shorter waves than two tokens say what longer ones do"


def test_a_learner_is_placed_by_its_low_tower_alone(learner: Learner) -> None:
    before = {name: value.clone() for name, value in learner.named_parameters()}
    learner.place()
    changed = [name for name, value in learner.named_parameters() if not torch.equal(value, before[name])]
    assert changed == ["roles.vision_low.position"]
