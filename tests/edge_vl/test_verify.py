"""`edge-vl verify`: a table for people, a record for programs, and exit 1 when a bar is missed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from edge_runtime.bundle import Bundle, write_manifest
from edge_runtime.errors import EdgeVLError
from edge_runtime.manifest import MANIFEST_NAME
from tests.edge_vl.command import Ran, assert_refused, ran

ROLES = ("vision_low", "adaptor", "embed", "decoder")


def other_weights(checkpoint: Path) -> Path:
    path = checkpoint / "model.safetensors"
    weights = load_file(path)
    name = "language_model.model.layers.0.mlp.up_proj.weight"
    weights[name] = torch.flip(weights[name], (0,))
    path.unlink()
    save_file(weights, path)
    return checkpoint


@pytest.fixture(scope="session")
def passed(bundle: Path, checkpoint: Path) -> Ran:
    return ran("verify", bundle, "--against", checkpoint, "--json")


def test_a_bundle_and_its_checkpoint_pass(passed: Ran) -> None:
    assert (passed.status, passed.err) == (0, "")
    record = passed.record()
    assert set(record) == {
        "bundle",
        "files",
        "hashes",
        "structure",
        "unlisted",
        "parity",
        "engine",
        "engine_reason",
        "passed",
    }
    assert (record["hashes"], record["structure"], record["passed"]) == ("ok", "ok", True)
    assert tuple(each["role"] for each in record["parity"]["roles"]) == ROLES
    assert all(each["cosine"] > 0.99999 and each["passed"] for each in record["parity"]["roles"])
    assert [each["prompt"] for each in record["parity"]["greedy"]] == ["text", "image"]
    assert all(each["agreed"] == each["tokens"] > 0 for each in record["parity"]["greedy"])


def test_what_lies_in_the_folder_besides_is_told(bundle: Path, own_bundle: Path) -> None:
    assert ran("verify", bundle, "--json").record()["unlisted"] == []
    (own_bundle / "notes.txt").write_text("mine")
    (own_bundle / "graphs" / "elsewhere").symlink_to("/etc")
    (own_bundle / "engines").mkdir()
    (own_bundle / "engines" / "one.plan").write_text("engines are no part of it")
    result = ran("verify", own_bundle)
    assert result.status == 0
    assert (
        "besides    graphs/elsewhere, notes.txt: not of the bundle, and never read" in result.out.splitlines()
    )
    assert ran("verify", own_bundle, "--json").record()["unlisted"] == ["graphs/elsewhere", "notes.txt"]


def test_another_checkpoint_fails_the_check(bundle: Path, own_checkpoint: Path) -> None:
    result = ran("verify", bundle, "--against", other_weights(own_checkpoint))
    assert result.status == 1
    lines = result.out.splitlines()
    assert lines[-1].startswith("FAILED: ")
    assert [line.split()[-1] for line in lines if line.startswith(ROLES)] == ["ok", "ok", "ok", "FAILED"]


def test_a_failed_check_is_a_record_under_json(bundle: Path, own_checkpoint: Path) -> None:
    result = ran("verify", bundle, "--against", other_weights(own_checkpoint), "--json")
    assert result.status == 1
    assert result.record()["passed"] is False
    assert len(result.out.splitlines()) == 1


def test_without_a_checkpoint_integrity_and_structure_are_checked(bundle: Path) -> None:
    result = ran("verify", bundle)
    assert (result.status, result.err) == (0, "")
    assert result.out.splitlines()[0].startswith("integrity  ")
    assert result.out.splitlines()[-1] == "passed"
    assert "hashes ok" in result.out
    assert "not hashed" in ran("verify", bundle, "--trust-bundle").out


def test_a_precision_that_no_weight_has_is_told(own_bundle: Path) -> None:
    manifest = Bundle.open(own_bundle).manifest
    graphs = tuple(replace(graph, precision="int4") for graph in manifest.graphs)
    (own_bundle / MANIFEST_NAME).unlink()
    write_manifest(own_bundle, replace(manifest, graphs=graphs))
    result = ran("verify", own_bundle)
    assert result.status == 1
    assert "its weights are not of int4, as the manifest says: " in result.err


def test_engines_that_are_not_there_are_told_before_anything_is_compared(
    bundle: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_vl.verbs.verify.compared", None)
    refused = ran("verify", bundle, "--against", checkpoint, "--engines", "typo")
    assert_refused(refused, "EVL-ENGINE-ABSENT")


@pytest.mark.parametrize("code", ["EVL-ENGINE-MISSING", "EVL-BUNDLE-DIALECT", "EVL-GPU-DRIVER"])
def test_a_sound_bundle_passes_where_nothing_can_answer(
    code: str, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise EdgeVLError(code, "no engine", "it is so", "do something")

    monkeypatch.setattr("edge_vl.verbs.verify.chosen", refuse)
    result = ran("verify", bundle, "--json")
    assert (result.status, result.record()["engine"], result.record()["passed"]) == (0, "none", True)
    assert "no engine (it is so)" in result.record()["engine_reason"]


def test_an_engine_that_is_not_installed_is_not_said_to_answer(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> None:
        raise EdgeVLError(
            "EVL-ENGINE-MISSING", "ONNX Runtime is not installed", "no module", "pip install it"
        )

    monkeypatch.setattr("edge_vl.verbs.verify.imported_onnxruntime", missing)
    result = ran("verify", bundle)
    assert result.status == 0
    assert "engine     none: ONNX Runtime is not installed (no module); pip install it" in result.out


def test_what_quantising_cost_is_told_where_the_bundle_has_it(own_bundle: Path) -> None:
    manifest = Bundle.open(own_bundle).manifest
    figures = {"logit_kl": 0.01, "top1": 0.98, "greedy": 0.9, "answers": 2.0, "tokens": 7.0}
    sat = {"questions": 8.0, "accuracy_before": 0.75, "accuracy_after": 0.625}
    (own_bundle / MANIFEST_NAME).unlink()
    write_manifest(own_bundle, replace(manifest, quality=figures | sat))
    lines = ran("verify", own_bundle).out.splitlines()
    assert [line.partition("  ")[0] for line in lines] == [
        "integrity",
        "quality",
        "quality",
        "engine",
        "passed",
    ]
    beside = (
        "quality    beside the float bundle, in 7 tokens of 2 answers of the calibration set: 98.0% of tokens"
    )
    assert lines[1].startswith(beside)
    assert lines[3] == "engine     onnxruntime: no GPU answers here"
    assert lines[2] == "quality    right answers to 8 questions: 75.0% before, 62.5% after"
    assert ran("verify", own_bundle, "--json").record()["quality"] == figures | sat


def test_pictures_to_compare_with_come_from_a_folder(bundle: Path, checkpoint: Path, picture: Path) -> None:
    result = ran("verify", bundle, "--against", checkpoint, "--images", picture.parent, "--json")
    assert result.status == 0
    assert result.record()["passed"] is True


def test_what_is_no_picture_is_passed_over_and_named(
    bundle: Path, checkpoint: Path, picture: Path, tmp_path: Path
) -> None:
    (tmp_path / "lamp.png").write_bytes(picture.read_bytes())
    (tmp_path / "notes.txt").write_text("no picture at all")
    result = ran("verify", bundle, "--against", checkpoint, "--images", tmp_path, "--json")
    assert (result.status, result.err) == (0, "not taken for pictures: notes.txt\n")


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("empty", "EVL-IMAGES"),
        ("missing", "EVL-IMAGES"),
        ("text", "EVL-IMAGES"),
        ("broken", "EVL-IMAGE-FORMAT"),
    ],
)
def test_a_folder_without_pictures_is_refused(
    name: str, code: str, bundle: Path, checkpoint: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "notes.txt").write_text("no picture at all")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "lamp.png").write_text("no picture at all")
    assert_refused(ran("verify", bundle, "--against", checkpoint, "--images", tmp_path / name), code)
