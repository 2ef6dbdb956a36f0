"""Which layers are the most harmful, and going on after a kill."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from calibration.answers import Answer
from calibration.blocks import Quantised, Weight, quantised_from_weight
from calibration.decision import Decision, Float, Int4, Int8
from calibration.desk import Desk
from calibration.ladder import Matrices, Matrix, Mix
from calibration.plan import Decisions, Plan
from calibration.sensitivity import Sensitivity, sensitivity_of
from calibration.trial import Trial
from edge_runtime.progress import silent
from edge_runtime.spec import Role
from tests.calibration.rehearsed import Rehearsed
from tests.proof.subject import session_folder

PLANTED = "blocks.1.gate"
MATRICES: Matrices = {
    "decoder": {
        "q": (Matrix(64, 512, 4),),
        "head": (Matrix(64, 256, 4), Matrix(64, 256, 4)),
        "odd": (Matrix(33, 3, 4),),
    },
    "adaptor": {"fc": (Matrix(64, 512, 4),)},
}  # of a bundle that nobody wrote
MIX: Mix = {"decoder": {"q": Int4(32), "head": Int8(), "odd": Int4(32)}, "adaptor": {"fc": Int8(0.5)}}
COSTS: dict[tuple[str, Decision], float] = {
    ("q", Int4(32)): 0.5,
    ("q", Int8()): 0.1,
    ("head", Int8()): 0.7,
    ("fc", Int8(0.5)): 0.2,
}


class FakeTrial(Trial):
    """Knows what everything costs, and notes what it was asked."""

    def __init__(self, left: int = 100) -> None:
        self.asked: tuple[Answer, ...] = ()
        self.tried, self.left = list[tuple[Role, str]](), left

    def kl(self, role: Role, decisions: Decisions) -> float:
        [(name, decision)] = decisions.items()
        if not self.left:
            raise KeyboardInterrupt
        self.left -= 1
        self.tried.append((role, name))
        return COSTS[name, decision]


def test_layers_are_ranked_by_what_was_asked_for(tmp_path: Path) -> None:
    found = sensitivity_of(FakeTrial(), MIX, MATRICES, Desk(tmp_path / "out", "key"), silent)
    assert found.ranked() == {"adaptor": {"fc": 0.2}, "decoder": {"head": 0.7, "q": 0.5}}
    assert list(found.ranked()["decoder"]) == ["head", "q"]


def test_a_layer_that_breaks_the_model_has_no_figure_in_the_report() -> None:
    found = Sensitivity({"decoder": {"q": {Int8(): 0.5}, "o": {Int8(): float("inf")}}})
    assert list(found.to_json()["decoder"].items()) == [("o", None), ("q", 0.5)]


def test_what_lies_between_4_bits_and_float_is_tried_too_unless_nobody_needs_it(tmp_path: Path) -> None:
    trial = FakeTrial()
    found = sensitivity_of(trial, MIX, MATRICES, Desk(tmp_path / "out", "key"), silent)
    assert found.damages["decoder"]["q"] == {Int4(32): 0.5, Int8(): 0.1}
    alone = sensitivity_of(
        FakeTrial(), MIX, MATRICES, Desk(tmp_path / "b", "key"), silent, is_asked_only=True
    )
    assert alone.damages["decoder"]["q"] == {Int4(32): 0.5}


def test_the_decoder_is_tried_last_and_what_stays_float_by_its_shape_not_at_all(tmp_path: Path) -> None:
    trial = FakeTrial()
    sensitivity_of(trial, MIX, MATRICES, Desk(tmp_path / "out", "key"), silent)
    assert trial.tried == [("adaptor", "fc"), ("decoder", "q"), ("decoder", "q"), ("decoder", "head")]


def test_ladders_have_what_was_found_on_their_rungs(tmp_path: Path) -> None:
    found = sensitivity_of(FakeTrial(), MIX, MATRICES, Desk(tmp_path / "out", "key"), silent)
    rungs = {ladder.layer: ladder.rungs for ladder in found.ladders(MATRICES)}
    assert [(each.decision, each.damage) for each in rungs["q"]] == [
        (Int4(32), 0.5), (Int8(), 0.1), (Float(), 0.0),
    ]  # fmt: skip
    assert rungs["head"][-1].bytes == 2 * 64 * 256 * 4


def test_a_killed_ranking_goes_on_where_it_was(tmp_path: Path) -> None:
    whole = sensitivity_of(FakeTrial(), MIX, MATRICES, Desk(tmp_path / "whole", "key"), silent)
    with pytest.raises(KeyboardInterrupt):
        sensitivity_of(FakeTrial(left=2), MIX, MATRICES, Desk(tmp_path / "out", "key"), silent)
    trial = FakeTrial()
    again = sensitivity_of(trial, MIX, MATRICES, Desk(tmp_path / "out", "key"), silent)
    assert again == whole and len(trial.tried) == 2


def test_progress_counts_trials(tmp_path: Path) -> None:
    heard = list[tuple[str, int, int]]()
    desk = Desk(tmp_path / "out", "key")
    sensitivity_of(FakeTrial(), MIX, MATRICES, desk, lambda *said: heard.append(said))
    assert heard == [("ranking layers", done, 4) for done in range(4)]


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Rehearsed:
    return Rehearsed.below(session_folder(tmp_path_factory), tmp_path_factory.mktemp("sensitivity"))


def test_a_layer_that_rounding_destroys_comes_first(subject: Rehearsed, tmp_path: Path) -> None:
    def destroying(name: str, weight: Weight, how: Int4 | Int8) -> Quantised:
        made = quantised_from_weight(name, weight, how)
        return Quantised(made.bits, np.zeros_like(made.integers), made.scales) if name == PLANTED else made

    plan = Plan(subject.mix("decoder"), destroying)
    trial = Trial(subject.bundle, "ort", subject.answers, plan, threads=1, limit=1)
    desk = Desk(tmp_path / "out", "key")
    found = sensitivity_of(trial, plan.decisions, subject.matrices, desk, silent, is_asked_only=True)
    ranked = list(found.ranked()["decoder"].items())
    assert ranked[0][0] == PLANTED and ranked[0][1] > 2 * ranked[1][1]
    assert len(ranked) == len(subject.matrices["decoder"]) and ranked[-1][1] > 0
