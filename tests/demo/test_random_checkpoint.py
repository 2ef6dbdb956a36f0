"""Random checkpoints are real ones: the right names, shapes and sizes, and every reader takes them."""

from __future__ import annotations

import hashlib
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import DeepseekVLForConditionalGeneration, DeepseekVLHybridForConditionalGeneration

from demo.random_checkpoint import (
    ALPHA,
    DTYPES,
    LayoutName,
    shards_of,
    spec_named,
    tensors_of,
    write_random_checkpoint,
)
from demo.sizes import SIZES
from edge_runtime.errors import EdgeVLError
from export.checkpoint import Checkpoint
from export.config import spec_from_checkpoint
from export.weights import plan_from_checkpoint

LAYOUTS: tuple[LayoutName, ...] = get_args(LayoutName)
SMALL_SIZES = ("tiny", "tiny-low")
ORACLES = {"tiny": DeepseekVLHybridForConditionalGeneration, "tiny-low": DeepseekVLForConditionalGeneration}


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def parameters(size: str, layout: LayoutName) -> int:
    return sum(math.prod(shape) for shape in tensors_of(SIZES[size], layout).values())


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("size", SMALL_SIZES)
def test_the_spec_that_is_read_is_the_spec_that_was_written(
    size: str, layout: LayoutName, tmp_path: Path
) -> None:
    write_random_checkpoint(SIZES[size], tmp_path / "c", layout)
    with Checkpoint.open(tmp_path / "c") as checkpoint:
        spec = spec_from_checkpoint(checkpoint)
        plan_from_checkpoint(checkpoint, spec)  # strict: refuses what is missing, extra or misshapen
        assert spec == SIZES[size]


@pytest.mark.parametrize("size", SMALL_SIZES)
def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(size: str, tmp_path: Path) -> None:
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        write_random_checkpoint(SIZES[size], tmp_path / name, "original", seed=seed)
    first, same, other = (digests(tmp_path / name) for name in "abc")
    assert first == same
    assert {name for name in first if first[name] != other[name]} == {"model.safetensors"}


def test_no_tensor_is_constant_and_none_repeats_another(tmp_path: Path) -> None:
    write_random_checkpoint(SIZES["tiny"], tmp_path / "c", "original", "float32")
    tensors = load_file(tmp_path / "c" / "model.safetensors")
    for name, tensor in tensors.items():
        assert torch.isfinite(tensor).all(), name
        assert bool(tensor.ne(0).all()), name
        assert tensor.numel() == 1 or tensor.std() > 0, name
    heads = {tuple(tensor.flatten()[:8].tolist()): name for name, tensor in tensors.items()}
    assert len(heads) == len(tensors)
    (alpha,) = [tensor for name, tensor in tensors.items() if "alpha" in name]
    assert abs(float(alpha) - ALPHA) < 0.2


@pytest.mark.parametrize("dtype", list(DTYPES))
def test_every_type_is_stored_as_asked(dtype: str, tmp_path: Path) -> None:
    write_random_checkpoint(SIZES["tiny-low"], tmp_path / "c", "transformers", dtype)
    found = {tensor.dtype for tensor in load_file(tmp_path / "c" / "model.safetensors").values()}
    assert found == {DTYPES[dtype][1]}


def test_types_are_roundings_of_the_same_numbers(tmp_path: Path) -> None:
    for dtype in ("float32", "bfloat16"):
        write_random_checkpoint(SIZES["tiny-low"], tmp_path / dtype, "original", dtype)
    exact, rounded = (load_file(tmp_path / name / "model.safetensors") for name in ("float32", "bfloat16"))
    assert all(torch.equal(exact[name].to(torch.bfloat16), rounded[name]) for name in exact)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_shards_hold_the_same_tensors_as_one_file(layout: LayoutName, tmp_path: Path) -> None:
    spec = SIZES["tiny"]
    write_random_checkpoint(spec, tmp_path / "whole", layout, "float32")
    write_random_checkpoint(spec, tmp_path / "parts", layout, "float32", shard_bytes=300_000)
    parts = sorted((tmp_path / "parts").glob("model-*-of-*.safetensors"))
    assert len(parts) > 2
    assert not (tmp_path / "parts" / "model.safetensors").exists()
    whole = load_file(tmp_path / "whole" / "model.safetensors")
    index = json.loads((tmp_path / "parts" / "model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == sum(tensor.nbytes for tensor in whole.values())
    found = {name: (part.name, tensor) for part in parts for name, tensor in load_file(part).items()}
    assert {name: place for name, (place, _) in found.items()} == index["weight_map"]
    assert found.keys() == whole.keys()
    assert all(torch.equal(found[name][1], whole[name]) for name in whole)
    with Checkpoint.open(tmp_path / "parts") as checkpoint:
        assert spec_from_checkpoint(checkpoint) == spec


def test_a_shard_is_filled_up_to_its_limit_and_a_larger_tensor_stands_alone() -> None:
    shapes = {"a": (2,), "b": (2,), "c": (9,), "d": (1,)}
    found = shards_of(shapes, item_bytes=1, limit=4)
    assert [list(shard) for shard in found] == [["a", "b"], ["c"], ["d"]]


@pytest.mark.parametrize("shard_bytes", [1 << 30, 300_000])
@pytest.mark.parametrize("size", SMALL_SIZES)
def test_transformers_itself_opens_the_checkpoint(size: str, shard_bytes: int, tmp_path: Path) -> None:
    write_random_checkpoint(SIZES[size], tmp_path / "c", "transformers", "float32", shard_bytes=shard_bytes)
    model, info = ORACLES[size].from_pretrained(tmp_path / "c", output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    assert not info["mismatched_keys"]
    assert not info.get("error_msgs")
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters(size, "transformers")


@pytest.mark.parametrize(
    ("size", "tensors", "total"),
    [
        # reference/models.md §1.4 and §5.2; the totals count what is stored and never run
        ("1.3b", 529, 1_975_235_584),
        ("7b", 775, 7_343_990_017),
    ],
)
def test_published_sizes_have_the_published_number_of_tensors_and_parameters(
    size: str, tensors: int, total: int
) -> None:
    assert len(tensors_of(SIZES[size], "original")) == tensors
    assert parameters(size, "original") == total


def test_the_headline_model_is_the_small_decoder_with_the_large_models_eyes() -> None:
    small, hybrid, large = (tensors_of(SIZES[size], "original") for size in ("1.3b", "1.3b-hybrid", "7b"))

    def under(shapes: dict[str, tuple[int, ...]], prefix: str) -> dict[str, tuple[int, ...]]:
        return {name: shape for name, shape in shapes.items() if name.startswith(prefix)}

    assert under(hybrid, "language_model.") == under(small, "language_model.")
    assert under(hybrid, "vision_model.") == under(large, "vision_model.")
    assert under(hybrid, "aligner.").keys() == under(large, "aligner.").keys()
    assert all(shape[0] in (1024, 2048) for shape in under(hybrid, "aligner.").values())


@pytest.mark.parametrize("size", ["1.3b", "1.3b-hybrid", "7b"])
def test_transformers_drops_only_what_is_never_run(size: str) -> None:
    never_run = [
        math.prod(shape)
        for name, shape in tensors_of(SIZES[size], "original").items()
        if ".attn_pool." in name or name.startswith(("vision_model.high_layer", "vision_model.low_layer"))
    ]
    assert never_run
    assert parameters(size, "original") - sum(never_run) == parameters(size, "transformers")


def test_an_existing_folder_is_kept(tmp_path: Path) -> None:
    with pytest.raises(EdgeVLError) as error:
        write_random_checkpoint(SIZES["tiny-low"], tmp_path)
    assert error.value.code == "EVL-OUT-EXISTS"


def test_an_unknown_size_is_refused_with_those_there_are() -> None:
    with pytest.raises(EdgeVLError) as error:
        spec_named("70b")
    assert all(size in error.value.why for size in SIZES)


def test_progress_ends_at_the_size_of_the_weights(tmp_path: Path) -> None:
    heard: list[tuple[int, int]] = []
    write_random_checkpoint(
        SIZES["tiny-low"], tmp_path / "c", "original", "float16",
        progress=lambda _, done, total: heard.append((done, total)),
    )  # fmt: skip
    assert heard[-1] == (heard[-1][1], 2 * parameters("tiny-low", "original"))
    assert [done for done, _ in heard] == sorted(done for done, _ in heard)


def test_a_tensor_larger_than_the_block_of_random_numbers_is_written_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("demo.random_checkpoint.BLOCK_ELEMENTS", 997)
    write_random_checkpoint(SIZES["tiny-low"], tmp_path / "c", "original", "float32")
    table = load_file(tmp_path / "c" / "model.safetensors")["language_model.model.embed_tokens.weight"]
    assert np.isfinite(table.numpy()).all()
    assert len({tuple(row) for row in table.tolist()}) == len(table)


def test_the_module_is_a_command(tmp_path: Path) -> None:
    call = [sys.executable, "-m", "demo.random_checkpoint", "tiny-low", str(tmp_path / "c")]
    root = Path(__file__).parents[2]
    first, again = (
        subprocess.run(call, cwd=root, capture_output=True, text=True, check=False) for _ in range(2)
    )
    assert (first.returncode, first.stderr) == (0, "")
    assert again.returncode == 2
    assert "[EVL-OUT-EXISTS]" in again.stderr
    assert "Traceback" not in again.stderr
