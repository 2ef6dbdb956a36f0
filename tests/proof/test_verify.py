"""`edge-vl verify --against`: yes to the checkpoint a bundle came from, no to one that was changed."""

from __future__ import annotations

import json
import shutil
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from edge_runtime.dialects import Dialect, FloatPrecision
from edge_runtime.tokenizer import Tokenizer
from edge_vl.cli import exit_status
from edge_vl.terminal import Terminal
from export.checkpoint import Checkpoint
from export.config import spec_from_checkpoint
from export.exporter import export_bundle
from export.options import ExportOptions, shortest_context
from tests.checkpoints import SMALL_MODELS, edit_tensors
from tests.proof.subject import bundle_below, checkpoint_below

HYBRID_TENSORS = (
    "model.vision_model.encoder.layers.0.mlp.fc1.weight",
    "model.vision_model.embeddings.position_embedding.weight",
    "model.high_res_vision_model.vision_encoder.layers.0.attn.rel_pos_h",
    "model.high_res_vision_model.vision_encoder.neck.conv2.weight",
    "model.high_res_vision_alpha",
    "model.aligner.vision_proj.weight",
    "model.language_model.embed_tokens.weight",
    "model.language_model.layers.1.self_attn.k_proj.weight",
    "model.language_model.norm.weight",
    "lm_head.weight",
)


def verified(bundle: Path, checkpoint: Path) -> tuple[int, dict[str, Any]]:
    out, err = StringIO(), StringIO()
    arguments = ["verify", str(bundle), "--against", str(checkpoint), "--json"]
    status = exit_status(arguments, Terminal(out, err))
    assert out.getvalue(), err.getvalue()
    result: dict[str, Any] = json.loads(out.getvalue().splitlines()[-1])
    return status, result


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("name", list(SMALL_MODELS))
def test_a_bundle_passes_against_its_own_checkpoint(
    folder: Path, name: str, precision: FloatPrecision
) -> None:
    status, result = verified(bundle_below(folder, name, precision), checkpoint_below(folder, name))
    assert (status, result["passed"]) == (0, True), result


def test_a_bundle_passes_against_the_same_model_in_the_other_layout(folder: Path) -> None:
    bundle = bundle_below(folder, "windowed")
    assert verified(bundle, checkpoint_below(folder, "windowed", "original"))[0] == 0


@pytest.mark.parametrize("name", HYBRID_TENSORS)
def test_a_bundle_fails_against_a_checkpoint_with_one_other_weight(
    folder: Path, tmp_path: Path, name: str
) -> None:
    path = tmp_path / "changed"
    shutil.copytree(checkpoint_below(folder, "windowed"), path)
    value = load_file(path / "model.safetensors")[name].clone()
    value.view(-1)[value.numel() // 2] *= 1.02
    edit_tensors(path / "model.safetensors", add={name: value})
    status, result = verified(bundle_below(folder, "windowed", "fp16"), path)
    assert (status, result["passed"]) == (1, False)


@pytest.mark.parametrize("dialect", ["trt10", "trt"])
def test_a_changed_part_of_the_head_is_found_in_dialects_that_cut_it(
    folder: Path, tmp_path: Path, dialect: Dialect
) -> None:
    path = tmp_path / "changed"
    shutil.copytree(checkpoint_below(folder, "grouped"), path)
    value = load_file(path / "model.safetensors")["lm_head.weight"].clone()
    value[-1, 0] *= 1.02  # of the last part
    edit_tensors(path / "model.safetensors", add={"lm_head.weight": value})
    status, result = verified(bundle_below(folder, "grouped", dialect=dialect), path)
    (decoder,) = (each for each in result["parity"]["weights"] if each["role"] == "decoder")
    assert (status, decoder["dialect"], decoder["differing"]) == (1, dialect, ["head.weight"])


def test_every_dialect_of_a_bundle_is_compared_and_its_table_once(folder: Path, tmp_path: Path) -> None:
    """With the shortest context there is: the cache of `trt` has no row more, and the prompt does not fit."""
    checkpoint, bundle = checkpoint_below(folder, "grouped"), tmp_path / "bundle"
    with Checkpoint.open(checkpoint) as opened:
        shortest = shortest_context(spec_from_checkpoint(opened), Tokenizer.open(opened.tokenizer_path))
    export_bundle(checkpoint, bundle, ExportOptions(("trt10", "trt"), "fp32", shortest))
    status, result = verified(bundle, checkpoint)
    assert (status, result["passed"]) == (0, True), result
    parity = result["parity"]
    every = ["vision_low", "adaptor", "decoder"]
    assert [(each["dialect"], each["role"]) for each in parity["roles"]] == [
        *(("trt10", role) for role in every[:2]),
        (None, "embed"),
        ("trt10", "decoder"),
        *(("trt", role) for role in every),
    ]
    assert [(each["dialect"], each["prompt"]) for each in parity["greedy"]] == [
        (dialect, prompt) for dialect in ("trt10", "trt") for prompt in ("text", "image")
    ]
    assert [each["tokens"] for each in parity["greedy"] if each["prompt"] == "image"] == [0, 0]
    assert sum(each["role"] == "embed" for each in parity["weights"]) == 1
