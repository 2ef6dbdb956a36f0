"""A few layers quantised in memory, against bundles that were written so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from calibration.agreement import agreement_of
from calibration.blocks import Quantised, Weight, quantised_from_weight
from calibration.decision import Decision, Float, Int4, Int8
from calibration.plan import Decisions, Plan
from calibration.trial import Graph, Trial
from edge_runtime.progress import silent
from edge_runtime.spec import Role
from tests.calibration.rehearsed import Rehearsed
from tests.proof.subject import session_folder

LAYERS: dict[Role, dict[str, Decision]] = {
    "vision_high": {"blocks.1.qkv": Int8(0.02)},
    "vision_low": {"blocks.0.fc1": Int8(0.02)},
    "adaptor": {"high": Int8(0.02)},
    "decoder": {"blocks.0.v": Int4(32), "head": Int8()},
}


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Rehearsed:
    return Rehearsed.below(session_folder(tmp_path_factory), tmp_path_factory.mktemp("trial"))


@pytest.fixture(scope="module")
def trial(subject: Rehearsed) -> Trial:
    return Trial(subject.bundle, "ort", subject.answers, Plan({}), threads=1)


@pytest.mark.parametrize("role", LAYERS)
def test_a_role_that_is_not_changed_costs_nothing(trial: Trial, role: Role) -> None:
    assert trial.kl(role, {}) < 1e-9
    assert trial.kl(role, dict.fromkeys(LAYERS[role], Float())) < 1e-9


@pytest.mark.parametrize("role", LAYERS)
def test_a_trial_costs_what_the_written_bundle_costs(
    subject: Rehearsed, trial: Trial, role: Role, tmp_path: Path
) -> None:
    written = subject.written({role: LAYERS[role]}, tmp_path)
    wanted = agreement_of(subject.answers, written, "ort", 1, silent).kl
    assert wanted > 1e-8
    assert trial.kl(role, LAYERS[role]) == pytest.approx(wanted, rel=0.05)


def test_a_layer_beyond_finite_numbers_costs_more_than_anything(subject: Rehearsed) -> None:
    def burst(name: str, weight: Weight, how: Int4 | Int8) -> Quantised:
        made = quantised_from_weight(name, weight, how)
        return Quantised(made.bits, made.integers, np.full_like(made.scales, 1e38))

    trial = Trial(subject.bundle, "ort", subject.answers, Plan({}, burst), threads=1)
    assert trial.kl("decoder", {"blocks.0.down": Int8()}) == float("inf")


class Counting(Trial):
    """Notes which roles are opened, changed or not."""

    opened: list[tuple[str, bool]]

    def _changed(self, role: Role, decisions: Decisions) -> Graph:
        self.opened.append((role, bool(decisions)))
        return super()._changed(role, decisions)


def test_what_the_float_roles_make_of_the_samples_is_computed_once(subject: Rehearsed) -> None:
    trial = Counting(subject.bundle, "ort", subject.answers, Plan({}), threads=1)
    trial.opened = []
    names: list[Any] = list(subject.matrices["vision_low"])[:2]
    for name in names:
        trial.kl("vision_low", {name: Int8(0.02)})
    floats = [role for role, is_changed in trial.opened if not is_changed]
    assert sorted(floats) == ["adaptor", "decoder", "vision_high"]
    assert trial.opened.count(("vision_low", True)) == 2


def test_no_more_samples_are_asked_than_were_wanted(subject: Rehearsed) -> None:
    trial = Trial(subject.bundle, "ort", subject.answers, Plan({}), threads=1, limit=1)
    assert [each.sample for each in trial.asked] == [subject.answers.every[0].sample]
