"""Engines are tried beside ONNX Runtime once, and again where one is no longer the plan that was tried."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import pytest

from edge_runtime.bundle import Bundle
from edge_runtime.engines.sealed import SEAL, sealed
from edge_runtime.engines.shelf import Shelf
from edge_runtime.engines.trial import Trial, subject_of, trial_in
from edge_runtime.record import bytes_from_json
from edge_vl.terminal import Terminal
from edge_vl.verbs.tried import tried
from tests.edge_runtime.engines.engine_samples import CONTEXT, bundle_with, key_for, put_all
from tests.edge_runtime.engines.test_jury import WRONG, Witness
from tests.edge_runtime.engines.test_key import PLACE
from tests.edge_runtime.engines.test_shelf import PLAN, put


class Bench:
    """A bundle with its engines, and what is asked of them when they are tried."""

    def __init__(self, folder: Path) -> None:
        self.bundle: Bundle = bundle_with(folder / "bundle")
        self.shelf = Shelf(folder / "engines")
        self.shelf.make()
        put_all(self.bundle, self.shelf)

    def tried(self, witness: Witness) -> Trial:
        terminal = Terminal(StringIO(), StringIO())
        return tried((self.bundle,), "trt10", PLACE, CONTEXT, self.shelf, terminal, witness)

    def build_again(self, name: str) -> None:
        """As after damage: under the same key, and so in a folder of the same name, lies another plan."""
        key = key_for(self.bundle, name)
        self.shelf.remove(key)
        put(self.shelf, key, PLAN[::-1])


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_what_was_tried_is_not_tried_again(bench: Bench) -> None:
    first, second = Witness(), Witness()
    trial = bench.tried(first)
    assert first.questions
    assert bench.tried(second) == trial
    assert second.questions == []


def test_an_engine_that_was_built_again_is_tried_again(bench: Bench) -> None:
    before, witness = bench.tried(Witness()), Witness({("bundle", "adaptor"): WRONG})
    bench.build_again("adaptor")
    after = bench.tried(witness)
    assert witness.questions
    assert {folder for folder, _ in after.plans} == {folder for folder, _ in before.plans}
    assert [each.role for each in after.roles if each.winner is None] == ["adaptor"]
    subject = subject_of(bench.bundle, "trt10", CONTEXT, PLACE)
    assert trial_in(subject, [bench.shelf.folder]) == after


def test_a_trial_that_does_not_say_which_plans_it_was_about_is_made_again(bench: Bench) -> None:
    trial = bench.tried(Witness())
    path = bench.shelf.folder / trial.subject.file_name
    told = json.loads(path.read_bytes())
    del told[SEAL]
    for candidate in (each for role in told["roles"] for each in role["candidates"]):
        del candidate["plan_sha256s"]
    path.write_bytes(bytes_from_json(sealed(told)))
    witness = Witness()
    assert bench.tried(witness).plans == trial.plans
    assert witness.questions
