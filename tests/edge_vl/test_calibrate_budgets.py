"""Budgets through `edge-vl calibrate`: what is written keeps them, measured anew."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from functools import reduce
from pathlib import Path
from typing import Any

import pytest

from calibration.agreement import agreement_of
from calibration.aim import least_bytes
from calibration.answers import float_answers
from calibration.budget import MIB
from calibration.desk import Desk
from calibration.evaluation import evaluation_of, exam_from_file
from calibration.recipe import Recipe
from calibration.samples import samples_from_folder
from calibration.speaker import Speaker
from edge_runtime.bundle import Bundle, write_manifest
from edge_runtime.manifest import MANIFEST_NAME
from edge_runtime.progress import silent
from edge_runtime.tokenizer import Tokenizer
from tests.edge_vl.command import Ran, assert_refused, ran

OPTIONS = ["--vision", "fp16", "--block", "32", "--head", "int4"]
RECIPE = Recipe(vision="fp16", block=32, head="int4")
PROMPT = "What?"


@pytest.fixture(scope="module", name="source")
def opened_source(source: Path) -> Bundle:
    return Bundle.open(source)


def calibrated(source: Bundle, out: Path, photos: Path, *more: str | Path) -> Ran:
    return ran("calibrate", source.folder, out, "--images", photos, "--limit", "1", *OPTIONS, *more)


def report_of(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "quality.json").read_text())
    return found


def size_of(out: Path) -> int:
    return sum(path.stat().st_size for path in out.rglob("*") if path.is_file())


def test_a_budget_of_kl_is_kept_and_layers_that_stay_float_say_why(
    source: Bundle, photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = calibrated(source, out, photos, "--budget-kl", "0.0003")
    assert done.status == 0, done.err
    asked = samples_from_folder(photos, 1)
    answers = float_answers(source, "ort", asked, False, 1, Desk(tmp_path / "other", "key"), silent)
    assert 0 < agreement_of(answers, Bundle.open(out), "ort", 1, silent).kl <= 0.0003
    report = report_of(out)
    assert report["budget"]["asked"] == {"kl": 0.0003} and report["budget"]["layers_lifted"] > 0
    assert "budget       KL from the float model: at most 3.00e-04 nats, reached" in done.out
    floats = [each for each in report["roles"]["decoder"] if each["as"] == "float"]
    assert floats and all("nats and saves" in each["why"] for each in floats)


def test_a_budget_of_bytes_is_kept_by_all_that_is_written(
    source: Bundle, photos: Path, tmp_path: Path
) -> None:
    """Of those with a table and a cache of bytes as well."""
    recipe = replace(RECIPE, embedding="int8", kv="int8")
    mib = 0.02 + least_bytes(source, recipe) / MIB
    out = tmp_path / "out"
    done = calibrated(source, out, photos, "--embedding", "int8", "--kv", "int8", "--budget-mib", str(mib))
    assert done.status == 0, done.err
    assert size_of(out) <= mib * MIB
    report = report_of(out)
    assert report["budget"]["layers_lifted"] > 0 and report["budget"]["measured"] is None
    assert {each["as"] for each in report["roles"]["decoder"]} > {"int4/32"}, report["budget"]


@pytest.fixture(scope="module")
def talker(source: Bundle, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The same model, whose answers end: with a token that it comes to say to each picture."""
    samples = questions_of(source, photos)
    with Speaker(source, "ort", 1) as speaker:
        answers = [speaker.answer(each)[0] for each in samples]
    common = reduce(set.intersection, [set(each) - set(each[:2]) for each in answers])
    end = min(common, key=lambda token: (sum(each.index(token) for each in answers), token))
    folder = shutil.copytree(source.folder, tmp_path_factory.mktemp("talker") / "bundle")
    (folder / MANIFEST_NAME).unlink()
    spec = replace(source.spec, prompt=replace(source.spec.prompt, eos_id=end))
    write_manifest(folder, replace(source.manifest, spec=spec))
    return Bundle.open(folder)


def questions_of(source: Bundle, photos: Path) -> list[Any]:
    return [replace(each, prompt=PROMPT) for each in samples_from_folder(photos, 3).samples]


@pytest.fixture(scope="module")
def exam(talker: Bundle, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Questions that the float model answers right."""
    tokenizer, lines = Tokenizer.open(talker.tokenizer_path), []
    with Speaker(talker, "ort", 1) as speaker:
        for sample in questions_of(talker, photos):
            ids, _ = speaker.answer(sample)
            answer = tokenizer.decode(ids[:-1])
            lines.append(json.dumps({"image": str(sample.path), "prompt": PROMPT, "answer": answer}))
    path = tmp_path_factory.mktemp("exam") / "exam.jsonl"
    path.write_text("\n".join(lines))
    return path


def test_a_budget_of_accuracy_is_kept(talker: Bundle, photos: Path, exam: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = calibrated(talker, out, photos, "--budget-accuracy", "0", "--eval", exam, "--json")
    assert done.status == 0, done.err
    assert evaluation_of(talker, "ort", exam_from_file(exam), 1, silent).accuracy == 1
    assert evaluation_of(Bundle.open(out), "ort", exam_from_file(exam), 1, silent).accuracy == 1
    assert report_of(out)["budget"]["layers_lifted"] > 0
    assert done.record()["accuracy"] == {"questions": 3, "before": 1, "after": 1, "lost_points": 0}
    assert done.record()["budget"]["measured"]["lost_points"] == 0
    assert Bundle.open(out).manifest.quality == done.record()["quality"]
    assert done.record()["quality"]["accuracy_after"] == 1


def test_too_few_bytes_are_refused_before_anything_is_measured(
    source: Bundle, photos: Path, tmp_path: Path
) -> None:
    refused = calibrated(source, tmp_path / "out", photos, "--budget-mib", "0.5")
    assert_refused(refused, "EVL-CALIBRATE-BUDGET")
    assert "no mix fits 0.5 MiB" in refused.err and list(tmp_path.iterdir()) == []


def test_a_budget_that_no_mix_keeps_is_refused_and_what_was_measured_is_kept(
    source: Bundle, photos: Path, tmp_path: Path
) -> None:
    """Of the table of tokens nothing can be lifted."""
    out, lossy = tmp_path / "out", ("--embedding", "int8", "--decoder", "fp16")
    refused = calibrated(source, out, photos, *lossy, "--budget-kl", "0")
    assert_refused(refused, "EVL-CALIBRATE-BUDGET")
    assert "against a budget of 0" in refused.err
    desk = tmp_path / ".out.desk"
    assert list(tmp_path.iterdir()) == [desk]
    assert all(path.suffix == ".npz" for path in desk.iterdir())
    done = calibrated(source, out, photos, *lossy, "--budget-kl", "1")
    assert done.status == 0, done.err
    assert list(tmp_path.iterdir()) == [out]


def test_names_without_end_never_outgrow_a_budget(source: Bundle, photos: Path, tmp_path: Path) -> None:
    """They are in the report and on its page as far as there is room."""
    lines = [{"image": f"{'./' * 1500}0.png", "prompt": f"{index}"} for index in range(200)]
    samples = tmp_path / "samples.jsonl"
    samples.write_text("\n".join(map(json.dumps, lines)))
    shutil.copy(photos / "0.png", tmp_path)
    recipe, out = replace(RECIPE, decoder="fp16"), tmp_path / "out"
    mib = 0.001 + least_bytes(source, recipe) / MIB
    options = [*OPTIONS, "--decoder", "fp16", "--limit", "1000", "--budget-mib", str(mib)]
    done = ran("calibrate", source.folder, out, "--samples", samples, *options)
    assert done.status == 0, done.err
    assert size_of(out) <= mib * MIB
    samples = report_of(out)["samples"]
    assert (
        0 < len(samples["names"]) < samples["count"] == len(samples["names"]) + samples["left_out"]["names"]
    )
