"""fp16 graphs of models whose numbers fp16 cannot hold: planted in a small checkpoint, cured by islands."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from demo.random_checkpoint import write_random_checkpoint
from demo.sizes import SIZES
from edge_runtime.backends.ort import OrtBackend
from edge_runtime.bundle import Bundle
from edge_runtime.errors import EdgeVLError
from edge_runtime.preprocess import pixels_from_picture
from export.checkpoint import Checkpoint
from export.comparison import parity_of, synthetic_pictures
from export.config import spec_from_checkpoint
from export.exporter import export_bundle
from export.modules.reference import Reference
from export.options import ExportOptions
from export.parity import ParityReport
from export.ranges import WeightRange, islands_from_weights
from export.weights import plan_from_checkpoint
from tests.checkpoints import edit_tensors

Tensors = dict[str, Tensor]
Plant = Callable[[Tensors], Tensors]  # which tensors to replace
MODEL = "model.language_model.layers"
ALPHA = "model.high_res_vision_alpha"
SIDE, PROJECTION = "model.high_res_vision_neck", "model.high_res_vision_proj"
LOW = "model.vision_model.vision_model.encoder.layers"


def large_weight(tensors: Tensors) -> Tensors:
    """A value beyond fp16 in a layer whose result the next one scales back."""
    up, down = f"{MODEL}.1.mlp.up_proj.weight", f"{MODEL}.1.mlp.down_proj.weight"
    return {up: tensors[up] * 3e6, down: tensors[down] / 3e6}


def large_product(tensors: Tensors) -> Tensors:
    """gate × up overflows although neither of them does."""
    names = {kind: f"{MODEL}.0.mlp.{kind}_proj.weight" for kind in ("gate", "up", "down")}
    gate, up, down = (tensors[names[kind]] for kind in ("gate", "up", "down"))
    return {names["gate"]: gate * 300, names["up"]: up * 1500, names["down"]: down / 1500}


def large_stream(tensors: Tensors) -> Tensors:
    """A residual stream beyond fp16, which every later norm scales back."""
    name = f"{MODEL}.0.mlp.down_proj.weight"
    return {name: tensors[name] * 4e4}


def large_features(tensors: Tensors) -> Tensors:
    name = f"{LOW}.0.mlp.fc2.weight"
    return {name: tensors[name] * 4e4}


def large_keys(tensors: Tensors) -> Tensors:
    """Keys beyond fp16 against small queries: only a cache in fp32 can hold them."""
    q, k = f"{MODEL}.0.self_attn.q_proj.weight", f"{MODEL}.0.self_attn.k_proj.weight"
    return {q: tensors[q] / 3e3, k: tensors[k] * 6e4}


def large_mixture(tensors: Tensors) -> Tensors:
    """alpha × the side path overflows although neither does; what reads it scales back."""
    norm, down = f"{SIDE}.layer_norm2.weight", f"{PROJECTION}.conv1.weight"
    return {
        ALPHA: torch.full_like(tensors[ALPHA], 300.0),
        norm: tensors[norm] * 400,
        down: tensors[down] / 1e5,
    }


def faint_alpha(tensors: Tensors) -> Tensors:
    return {ALPHA: torch.full_like(tensors[ALPHA], 2e-5)}


def checkpoint_with(plant: Plant, folder: Path, size: str = "tiny-low") -> Path:
    path = folder / "checkpoint"
    write_random_checkpoint(SIZES[size], path, "transformers", "float32")
    weights = path / "model.safetensors"
    edit_tensors(weights, add=plant(load_file(weights)))
    return path


def exported(checkpoint: Path, out: Path, with_samples: bool) -> Bundle:
    samples = tuple(synthetic_pictures(2)) if with_samples else ()
    export_bundle(checkpoint, out, ExportOptions(samples=samples))
    return Bundle.open(out)


def parity(bundle: Bundle, checkpoint: Path) -> ParityReport:
    with np.errstate(all="ignore"), Checkpoint.open(checkpoint) as opened:
        return parity_of(bundle, {"ort": OrtBackend(bundle)}, opened, synthetic_pictures(1))


def is_finite_in_half(checkpoint: Path) -> bool:
    """Whether plain fp16 arithmetic gets through. (ONNX Runtime's CPU keeps some products in fp32 by itself.)"""
    with Checkpoint.open(checkpoint) as opened:
        spec = spec_from_checkpoint(opened)
        reference = Reference.load(spec, plan_from_checkpoint(opened, spec).state_dict, torch.float16)
    pixels = pixels_from_picture(synthetic_pictures(1)[0], spec.preprocess)
    high = None if pixels.high is None else torch.from_numpy(pixels.high)[None]
    image = reference.vision(torch.from_numpy(pixels.low)[None], high)
    return bool(reference.logits(image).isfinite().all())


def islands_of(bundle: Bundle) -> dict[str, tuple[str, ...]]:
    return {entry.role: entry.fp32_islands for entry in bundle.manifest.graphs if entry.fp32_islands}


@pytest.mark.parametrize(
    ("plant", "role", "island"),
    [
        (large_mixture, "vision_high", "side.norm2"),
        (large_product, "decoder", "blocks.0.down"),
        (large_stream, "decoder", "stream"),
        (large_features, "vision_low", "stream"),
        (large_keys, "decoder", "*"),
    ],
)
def test_activations_beyond_fp16_are_cured_by_samples(
    plant: Plant, role: str, island: str, tmp_path: Path
) -> None:
    checkpoint = checkpoint_with(plant, tmp_path, "tiny" if role == "vision_high" else "tiny-low")
    assert not is_finite_in_half(checkpoint)
    cured = exported(checkpoint, tmp_path / "cured", with_samples=True)
    assert island in islands_of(cured)[role]
    report = parity(cured, checkpoint)
    assert report.is_passed, report


def test_verify_says_no_to_a_stream_that_overflows(tmp_path: Path) -> None:
    checkpoint = checkpoint_with(large_stream, tmp_path)
    naive = exported(checkpoint, tmp_path / "naive", with_samples=False)
    report = parity(naive, checkpoint)
    assert not report.is_passed
    assert float("inf") in [each.gap for each in report.greedy]


def test_weights_beyond_fp16_need_no_samples_to_be_found(tmp_path: Path) -> None:
    checkpoint = checkpoint_with(large_weight, tmp_path)
    bundle = exported(checkpoint, tmp_path / "bundle", with_samples=False)
    assert "blocks.1.up" in islands_of(bundle)["decoder"]
    assert "blocks.1.down" in islands_of(bundle)["decoder"]  # its weights all lie where fp16 has no digits


def test_a_model_that_fits_has_no_islands(tmp_path: Path) -> None:
    checkpoint = checkpoint_with(lambda _: {}, tmp_path)
    bundle = exported(checkpoint, tmp_path / "bundle", with_samples=True)
    assert islands_of(bundle) == {}
    assert all(entry.precision == "fp16" for entry in bundle.manifest.graphs)


def test_a_faint_alpha_keeps_the_tower_in_fp16(tmp_path: Path) -> None:
    checkpoint = checkpoint_with(faint_alpha, tmp_path, "tiny")
    bundle = exported(checkpoint, tmp_path / "bundle", with_samples=False)
    assert islands_of(bundle) == {}
    report = parity(bundle, checkpoint)
    assert report.is_passed, report


@pytest.mark.parametrize(
    ("name", "largest", "islands"),
    [
        ("alpha", 2e-5, set()),
        ("alpha", 1e5, {"*"}),
        ("position", 2e-5, {"*"}),
        ("blocks.0.rel_h", 1e5, {"*"}),
        ("neck.conv1.weight", 2e-5, {"neck.conv1"}),
        ("neck.norm1.bias", 2e-5, set()),
        ("neck.norm1.bias", 1e5, {"neck.norm1"}),
    ],
)
def test_only_what_is_added_to_a_result_may_be_faint(name: str, largest: float, islands: set[str]) -> None:
    assert islands_from_weights("vision_high", [WeightRange(name, largest, 1, 0)]) == islands


def test_the_report_names_the_largest_numbers_and_where_they_are(tmp_path: Path) -> None:
    checkpoint = checkpoint_with(large_stream, tmp_path)
    exported(checkpoint, tmp_path / "bundle", with_samples=True)
    report = json.loads((tmp_path / "bundle" / "ranges.json").read_text())
    decoder = report["roles"]["decoder"]
    assert decoder["activations"]["largest"] > 65504
    assert decoder["weights"]["largest_in"] == "blocks.0.down.weight"
    assert decoder["weights"]["overflowing"] == []
    assert "stream" in decoder["fp32_islands"]


def test_the_report_names_the_weights_of_every_dialect(tmp_path: Path) -> None:
    def plant(tensors: Tensors) -> Tensors:
        head = tensors["lm_head.weight"].clone()
        head[0, 0] = 1e5
        return {"lm_head.weight": head}

    checkpoint = checkpoint_with(plant, tmp_path)
    export_bundle(checkpoint, tmp_path / "bundle", ExportOptions(("ort", "trt10"), "fp16"))
    decoder = json.loads((tmp_path / "bundle" / "ranges.json").read_text())["roles"]["decoder"]
    assert decoder["weights"]["overflowing"] == ["head.weight", "head.weight_0"]
    assert decoder["fp32_islands"] == ["head"]


def test_a_whole_role_in_fp32_says_so_in_its_precision(tmp_path: Path) -> None:
    checkpoint = checkpoint_with(large_keys, tmp_path)
    bundle = exported(checkpoint, tmp_path / "bundle", with_samples=True)
    precisions = {entry.role: entry.precision for entry in bundle.manifest.graphs}
    assert precisions == {"vision_low": "fp16", "adaptor": "fp16", "decoder": "fp32"}


def test_weights_that_are_no_numbers_are_refused_by_name(tmp_path: Path) -> None:
    def plant(tensors: Tensors) -> Tensors:
        broken = tensors[f"{MODEL}.0.mlp.up_proj.weight"].clone()
        broken[3, 5] = torch.nan
        return {f"{MODEL}.0.mlp.up_proj.weight": broken}

    checkpoint = checkpoint_with(plant, tmp_path)
    with pytest.raises(EdgeVLError) as caught:
        exported(checkpoint, tmp_path / "bundle", with_samples=False)
    assert caught.value.code == "EVL-CHECKPOINT-NONFINITE"
    assert "blocks.0.up.weight" in caught.value.what
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize(
    ("names", "scale", "told"),
    [
        ((f"{LOW}.0.mlp.fc1.weight",), float("nan"), r"blocks\.0\.\w+ in vision_low gives"),
        ((f"{LOW}.0.mlp.fc1.weight",), 1e38, r"blocks\.0\.\w+ in vision_low gives"),
        (
            (f"{MODEL}.0.mlp.gate_proj.weight", f"{MODEL}.0.mlp.up_proj.weight"),
            1e25,
            r"blocks\.0\.down in decoder reads",
        ),
    ],
    ids=["nan", "infinity", "a product"],
)
def test_activations_that_are_no_numbers_are_refused_by_role_and_layer(
    names: tuple[str, ...], scale: float, told: str, tmp_path: Path
) -> None:
    checkpoint = checkpoint_with(lambda tensors: {name: tensors[name] * scale for name in names}, tmp_path)
    with pytest.raises(EdgeVLError) as caught:
        exported(checkpoint, tmp_path / "bundle", with_samples=True)
    assert caught.value.code == "EVL-CHECKPOINT-NONFINITE"
    assert re.match(told, caught.value.what), caught.value.what
    assert not (tmp_path / "bundle").exists()
