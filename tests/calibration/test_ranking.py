"""Layers that are ranked by the harm they do alone, where no budget asks for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from calibration.aim import Aim
from calibration.answers import float_answers
from calibration.budget import Budget
from calibration.calibrate import calibrate_bundle
from calibration.decision import Int4, Int8
from calibration.desk import Desk
from calibration.plan import Plan
from calibration.recipe import Recipe
from calibration.samples import SampleSet, samples_from_folder
from calibration.trial import Trial
from calibration.writer import PAGE_NAME
from edge_runtime.bundle import Bundle
from edge_runtime.errors import EdgeVLError
from edge_runtime.manifest import MANIFEST_NAME, QUALITY_NAME
from edge_runtime.progress import silent
from tests.proof.subject import bundle_below, session_folder

RECIPE = Recipe(vision="fp16", block=32)
TOLD = {QUALITY_NAME, PAGE_NAME, MANIFEST_NAME}  # what may tell of a ranking, and the manifest their hashes
NO_LAYERS = Recipe("fp16", "fp16", "fp16", kv="int8")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return Bundle.open(bundle_below(session_folder(tmp_path_factory), "hybrid"))


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> SampleSet:
    folder = tmp_path_factory.mktemp("photos")
    Image.radial_gradient("L").resize((60, 40)).save(folder / "0.png")
    return samples_from_folder(folder, 1)


@pytest.fixture(scope="module")
def folder(source: Bundle, samples: SampleSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same calibration with a ranking and without one."""
    folder = tmp_path_factory.mktemp("ranking")
    for name, aim in (("ranked", Aim(is_ranked=True)), ("plain", Aim())):
        calibrate_bundle(source, folder / name, RECIPE, samples, 1, silent, aim)
    return folder


def report_of(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / QUALITY_NAME).read_bytes())
    return found


def bytes_below(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name not in TOLD
    }


def test_the_report_ranks_every_layer_that_is_quantised(folder: Path) -> None:
    report = report_of(folder / "ranked")
    ranked = report["sensitivity"]
    assert ranked.keys() == {"decoder"}
    assert ranked["decoder"].keys() == {each["layer"] for each in report["roles"]["decoder"]}
    assert list(ranked["decoder"].values()) == sorted(ranked["decoder"].values(), reverse=True)
    assert ">Layers by the harm they do alone<" in (folder / "ranked" / PAGE_NAME).read_text()
    assert "sensitivity" not in report_of(folder / "plain")


def test_a_ranking_changes_nothing_but_the_report(folder: Path) -> None:
    ranked, plain = report_of(folder / "ranked"), report_of(folder / "plain")
    assert bytes_below(folder / "ranked") == bytes_below(folder / "plain")
    assert {name for name in ranked if ranked[name] != plain.get(name)} == {"sensitivity"}
    assert "The budget" not in (folder / "ranked" / PAGE_NAME).read_text()


@pytest.mark.parametrize(("layer", "decision"), [("head", Int8()), ("blocks.1.down", Int4(32))])
def test_a_layer_costs_what_it_costs_when_it_alone_is_tried(
    source: Bundle, samples: SampleSet, folder: Path, layer: str, decision: Int4 | Int8, tmp_path: Path
) -> None:
    answers = float_answers(source, "ort", samples, False, 1, Desk(tmp_path / "out", "key"), silent)
    alone = Trial(source, "ort", answers, Plan({}), threads=1).kl("decoder", {layer: decision})
    assert 0 < alone == report_of(folder / "ranked")["sensitivity"]["decoder"][layer]


def test_only_what_was_asked_for_is_tried(source: Bundle, samples: SampleSet, tmp_path: Path) -> None:
    """What lies between 4 bits and float is of use to budgets alone."""
    heard = set[tuple[str, int]]()
    aim, recipe = Aim(is_ranked=True), Recipe(vision="fp16", decoder="fp16", head="int4", block=32)
    calibrate_bundle(
        source, tmp_path / "out", recipe, samples, 1, lambda what, _, total: heard.add((what, total)), aim
    )
    assert {total for what, total in heard if what == "ranking layers"} == {1}


@pytest.mark.parametrize(
    ("recipe", "budget", "word"),
    [
        (RECIPE, Budget(kl=1.0), "a budget is kept by ranking layers"),
        (NO_LAYERS, Budget(), "no layer is to be quantised"),
        (RECIPE, Budget(), "there are no samples"),
    ],
)
def test_a_ranking_that_would_tell_nothing_is_refused(
    source: Bundle, samples: SampleSet, tmp_path: Path, recipe: Recipe, budget: Budget, word: str
) -> None:
    given = samples if word != "there are no samples" else SampleSet(())
    with pytest.raises(EdgeVLError, match=word) as caught:
        calibrate_bundle(source, tmp_path / "out", recipe, given, 1, silent, Aim(budget, is_ranked=True))
    assert caught.value.fix and list(tmp_path.iterdir()) == []
