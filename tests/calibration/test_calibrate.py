"""A whole bundle through `edge-vl calibrate`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from calibration.calibrate import calibrate_bundle
from calibration.observer import Observer
from calibration.recipe import Method, Recipe
from calibration.samples import SampleSet, samples_from_folder
from edge_runtime.bundle import Bundle
from edge_runtime.errors import EdgeVLError
from edge_runtime.lint import check_grammar
from edge_runtime.progress import silent
from tests.edge_vl.command import ran
from tests.proof.subject import bundle_below, session_folder


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return Bundle.open(bundle_below(session_folder(tmp_path_factory), "hybrid"))


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for index in range(3):
        Image.radial_gradient("L").resize((60 + index, 40)).save(folder / f"{index}.png")
    return folder


def calibrated(source: Bundle, out: Path, recipe: Recipe, samples: SampleSet) -> Bundle:
    calibrate_bundle(source, out, recipe, samples, threads=1, progress=silent)
    return Bundle.open(out)


@pytest.fixture(scope="module")
def quantised(source: Bundle, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    out = tmp_path_factory.mktemp("calibrated") / "bundle"
    return calibrated(source, out, Recipe(block=32), samples_from_folder(photos, 10))


def test_every_role_says_what_became_of_it(quantised: Bundle) -> None:
    precisions = {entry.role: entry.precision for entry in quantised.manifest.graphs}
    assert precisions == {"vision_high": "int8", "vision_low": "int8", "adaptor": "int8", "decoder": "int4"}


def test_integers_take_less_room(source: Bundle, quantised: Bundle) -> None:
    def weights(bundle: Bundle) -> int:
        return sum(
            tensor.nbytes for each in bundle.manifest.graphs for tensor in bundle.onnx_file(each).tensors
        )

    assert weights(quantised) < 0.6 * weights(
        source
    )  # half of so small a model is convolutions and positions


def test_graphs_keep_to_their_grammar_and_their_ports(source: Bundle, quantised: Bundle) -> None:
    for before, after in zip(source.manifest.graphs, quantised.manifest.graphs, strict=True):
        check_grammar(quantised.onnx_file(after), after)
        assert (before.inputs, before.outputs) == (after.inputs, after.outputs)


def test_the_report_tells_every_layer_and_how_near_the_answers_are(quantised: Bundle) -> None:
    report: dict[str, Any] = json.loads((quantised.folder / "quality.json").read_text())
    assert set(report["roles"]) == {"vision_high", "vision_low", "adaptor", "decoder"}
    decoder = {each["layer"]: each["as"] for each in report["roles"]["decoder"]}
    assert decoder["blocks.0.q"] == "int4/32" and decoder["head"] == "int8"
    assert {each["as"] for each in report["roles"]["vision_low"]} == {"int8 products"}
    assert report["samples"]["count"] == len(report["answers"]) == 3
    seen = {"answers": len(report["answers"]), "tokens": sum(each["tokens"] for each in report["answers"])}
    assert seen["tokens"] > 0
    assert quantised.manifest.quality == report["agreement"] | seen
    assert 0 < report["agreement"]["logit_kl"] < 1


def test_the_manifest_says_what_it_was_made_with(quantised: Bundle, photos: Path) -> None:
    origin = quantised.manifest.calibration
    assert origin is not None
    assert (origin.samples, origin.samples_sha256) == (3, samples_from_folder(photos, 10).sha256)


def test_two_runs_give_the_same_bytes(
    source: Bundle, quantised: Bundle, photos: Path, tmp_path: Path
) -> None:
    again = calibrated(source, tmp_path / "again", Recipe(block=32), samples_from_folder(photos, 10))
    assert again.manifest == quantised.manifest


def test_weights_alone_need_no_pictures_and_leave_the_towers_as_they_are(
    source: Bundle, tmp_path: Path
) -> None:
    found = calibrated(
        source, tmp_path / "out", Recipe(vision="fp16", decoder="int8", head="fp16"), SampleSet(())
    )
    precisions = {entry.role: entry.precision for entry in found.manifest.graphs}
    assert precisions["vision_low"] == "fp32" and precisions["decoder"] == "int8"
    hashes = {entry.path: entry.sha256 for entry in found.manifest.files}
    kept = {entry.path: entry.sha256 for entry in source.manifest.files if "vision" in entry.path}
    assert kept and kept.items() <= hashes.items()
    assert found.manifest.quality is None


def test_products_of_integers_need_pictures(source: Bundle, tmp_path: Path) -> None:
    with pytest.raises(EdgeVLError, match="--vision fp16") as caught:
        calibrated(source, tmp_path / "out", Recipe(), SampleSet(()))
    assert caught.value.code == "EVL-CALIBRATE-SAMPLES"
    assert not (tmp_path / "out").exists()


def test_a_quantised_bundle_is_not_quantised_again(quantised: Bundle, tmp_path: Path) -> None:
    with pytest.raises(EdgeVLError) as caught:
        calibrated(quantised, tmp_path / "out", Recipe(vision="fp16"), SampleSet(()))
    assert caught.value.code == "EVL-CALIBRATE-FLOAT"


def test_gptq_stays_nearer_than_rounding_to_nearest(source: Bundle, photos: Path, tmp_path: Path) -> None:
    samples = samples_from_folder(photos, 10)
    found = {}
    methods: tuple[Method, ...] = ("rtn", "gptq")
    for method in methods:
        recipe = Recipe(vision="fp16", head="fp16", block=32, method=method)
        quality = calibrated(source, tmp_path / method, recipe, samples).manifest.quality
        assert quality is not None
        found[method] = quality["logit_kl"]
    assert found["gptq"] < 0.8 * found["rtn"]


def migrated(bundle: Bundle, role: str) -> set[str]:
    report: dict[str, Any] = json.loads((bundle.folder / "quality.json").read_text())
    return {each["layer"] for each in report["roles"][role] if each.get("migrated")}


@pytest.mark.parametrize("observer", ["minmax", "mse"])
def test_layers_after_norms_are_smoothed_and_the_report_says_so(
    source: Bundle, photos: Path, tmp_path: Path, observer: Observer
) -> None:
    recipe = Recipe(decoder="fp16", head="fp16", observer=observer, smooth=0.5)
    found = calibrated(source, tmp_path / "out", recipe, samples_from_folder(photos, 10))
    layers = {f"blocks.{number}.{layer}" for number in range(2) for layer in ("qkv", "fc1")}
    assert migrated(found, "vision_low") == layers and len(migrated(found, "vision_high")) == 8
    assert not migrated(found, "adaptor")


def test_nothing_is_smoothed_unasked(source: Bundle, photos: Path, tmp_path: Path) -> None:
    recipe = Recipe(decoder="fp16", head="fp16")
    found = calibrated(source, tmp_path / "out", recipe, samples_from_folder(photos, 10))
    assert not migrated(found, "vision_low") and not migrated(found, "vision_high")


@pytest.mark.parametrize("smooth", [-0.1, 1.1, float("nan")])
def test_more_than_all_cannot_be_smoothed(smooth: float) -> None:
    with pytest.raises(EdgeVLError, match="0 to 1") as caught:
        Recipe(smooth=smooth)
    assert caught.value.code == "EVL-CALIBRATE-SMOOTH"


def test_awq_scales_every_4_bit_layer_before_it_is_rounded(
    source: Bundle, photos: Path, tmp_path: Path
) -> None:
    recipe = Recipe(vision="fp16", head="int4", block=32, method="awq")
    found = calibrated(source, tmp_path / "out", recipe, samples_from_folder(photos, 10))
    assert found.manifest.calibration is not None and found.manifest.calibration.method == "awq"
    assert migrated(found, "decoder") >= {"blocks.0.q", "blocks.0.k", "blocks.0.v", "blocks.1.down"}


def test_awq_needs_pictures(source: Bundle, tmp_path: Path) -> None:
    with pytest.raises(EdgeVLError, match="--method rtn"):
        calibrated(source, tmp_path / "out", Recipe(vision="fp16", method="awq"), SampleSet(()))


def test_the_command_makes_a_bundle_that_answers(source: Bundle, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "small"
    done = ran("calibrate", source.folder, out, "--images", photos, "--block", "32", "--json")
    assert done.status == 0, done.err
    result = done.record()
    assert result["bytes"] < result["bytes_before"] and result["samples"] == 3
    assert ran("verify", out).status == 0
    answer = ran("run", out, "--image", photos / "0.png", "--prompt", "?", "--max-tokens", "4", "--json")
    assert answer.status == 0 and answer.record()["precision"]["decoder"] == "int4"


def test_tables_and_caches_hold_bytes_where_that_was_asked_for(
    source: Bundle, photos: Path, tmp_path: Path
) -> None:
    recipe = Recipe(vision="fp16", decoder="w8a8", head="fp16", embedding="int8", kv="int8")
    found = calibrated(source, tmp_path / "out", recipe, samples_from_folder(photos, 10))
    assert found.manifest.embedding.precision == "int8"
    decoder = found.graph("decoder", "ort")
    assert {port.dtype for port in decoder.inputs if port.name.startswith("past")} == {"int8"}
    report: dict[str, Any] = json.loads((found.folder / "quality.json").read_text())
    assert report["cache"]["bytes_a_token"] * 4 == report["cache"]["bytes_a_token_before"]
    assert report["agreement"]["logit_kl"] < 0.1
