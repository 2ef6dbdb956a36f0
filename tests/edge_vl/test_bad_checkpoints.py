"""`edge-vl export` and what it refuses: three lines, exit 2, and not a file more than before."""

from __future__ import annotations

import json
import os
import resource
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.edge_vl.command import Ran, assert_refused, command, environment, ran, spawned

Tensors = dict[str, torch.Tensor]
HEAD = "language_model.lm_head.weight"
NORM = "language_model.model.norm.weight"


def exported(checkpoint: Path, out: Path, *more: str) -> Ran:
    """The command's answer, with the proof that a refusal leaves nothing."""
    before = sorted(out.parent.iterdir()) if out.parent.is_dir() else None
    result = ran("export", checkpoint, out, *more)
    assert result.status == 0 or before == (sorted(out.parent.iterdir()) if out.parent.is_dir() else None)
    return result


def reweighted(checkpoint: Path, change: Callable[[Tensors], object]) -> Path:
    path = checkpoint / "model.safetensors"
    tensors = load_file(path)
    change(tensors)
    path.unlink()  # what is mapped keeps its old content
    save_file(tensors, path)
    return checkpoint


def reconfigured(checkpoint: Path, change: Callable[[dict[str, object]], object]) -> Path:
    path = checkpoint / "config.json"
    config = json.loads(path.read_text())
    change(config)
    path.write_text(json.dumps(config))
    return checkpoint


def test_a_truncated_weights_file_is_refused(own_checkpoint: Path, tmp_path: Path) -> None:
    path = own_checkpoint / "model.safetensors"
    os.truncate(path, path.stat().st_size - 1)
    assert_refused(exported(own_checkpoint, tmp_path / "out"), "EVL-CHECKPOINT-TRUNCATED")


def test_a_missing_tensor_is_named(own_checkpoint: Path, tmp_path: Path) -> None:
    result = exported(reweighted(own_checkpoint, lambda found: found.pop(NORM)), tmp_path / "out")
    assert_refused(result, "EVL-CHECKPOINT-TENSORS")
    assert NORM in result.err


def test_an_extra_tensor_is_named(own_checkpoint: Path, tmp_path: Path) -> None:
    result = exported(
        reweighted(own_checkpoint, lambda found: found.update({"language_model.stray": torch.ones(3)})),
        tmp_path / "out",
    )
    assert_refused(result, "EVL-CHECKPOINT-TENSORS")
    assert "language_model.stray" in result.err


def test_a_misshapen_tensor_is_named_with_both_shapes(own_checkpoint: Path, tmp_path: Path) -> None:
    result = exported(
        reweighted(own_checkpoint, lambda found: found.update({NORM: torch.ones(63)})), tmp_path / "out"
    )
    assert_refused(result, "EVL-CHECKPOINT-SHAPE")
    assert "63" in result.err
    assert "64" in result.err


def test_janus_is_refused_by_name(own_checkpoint: Path, tmp_path: Path) -> None:
    result = exported(
        reweighted(own_checkpoint, lambda found: found.update({"gen_head.weight": torch.ones(3)})),
        tmp_path / "out",
    )
    assert_refused(result, "EVL-CHECKPOINT-JANUS")
    assert "Janus" in result.err


def test_deepseek_vl2_is_refused_by_name(own_checkpoint: Path, tmp_path: Path) -> None:
    reconfigured(own_checkpoint, lambda found: found.update(projector_config={}, tile_tag="2D"))
    result = exported(own_checkpoint, tmp_path / "out")
    assert_refused(result, "EVL-CHECKPOINT-VL2")
    assert "DeepSeek-VL2" in result.err


def test_another_model_is_refused_with_what_it_seems_to_be(own_checkpoint: Path, tmp_path: Path) -> None:
    (own_checkpoint / "config.json").write_text('{"model_type": "bert"}')
    path = own_checkpoint / "model.safetensors"
    path.unlink()
    save_file({"bert.embeddings.weight": torch.ones(3)}, path)
    result = exported(own_checkpoint, tmp_path / "out")
    assert_refused(result, "EVL-CHECKPOINT-UNKNOWN-MODEL")
    assert "bert" in result.err


def test_a_checkpoint_without_tokenizer_is_refused(own_checkpoint: Path, tmp_path: Path) -> None:
    (own_checkpoint / "tokenizer.json").unlink()
    assert_refused(exported(own_checkpoint, tmp_path / "out"), "EVL-CHECKPOINT-TOKENIZER")


def test_a_config_that_is_no_json_is_refused(own_checkpoint: Path, tmp_path: Path) -> None:
    (own_checkpoint / "config.json").write_text('{"model_type": ')
    assert_refused(exported(own_checkpoint, tmp_path / "out"), "EVL-CHECKPOINT-JSON")


def test_a_bundle_given_as_checkpoint_is_told_apart(bundle: Path, tmp_path: Path) -> None:
    result = exported(bundle, tmp_path / "out")
    assert_refused(result, "EVL-CHECKPOINT-IS-BUNDLE")
    assert "exported from" in result.err


@pytest.mark.parametrize("path", ["nowhere", "a\0b", "x" * 5000])
def test_a_checkpoint_that_is_not_there_is_refused(path: str, tmp_path: Path) -> None:
    result = exported(tmp_path / path, tmp_path / "out")
    assert_refused(result, "EVL-FILE" if len(path) == 5000 else "EVL-CHECKPOINT-FOLDER")


def test_an_existing_output_is_refused_and_kept(checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("kept")
    assert_refused(exported(checkpoint, out), "EVL-OUT-EXISTS")
    assert (out / "mine.txt").read_text() == "kept"


def test_the_checkpoint_itself_is_refused_as_output(own_checkpoint: Path) -> None:
    before = sorted(own_checkpoint.iterdir())
    assert_refused(exported(own_checkpoint, own_checkpoint), "EVL-OUT-EXISTS")
    assert sorted(own_checkpoint.iterdir()) == before


def test_an_output_inside_a_missing_folder_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    result = exported(checkpoint, tmp_path / "missing" / "out")
    assert_refused(result, "EVL-OUT-UNWRITABLE")
    assert not (tmp_path / "missing").exists()


def test_an_output_below_a_file_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert_refused(ran("export", checkpoint, tmp_path / "file" / "out"), "EVL-OUT-UNWRITABLE")


@pytest.mark.parametrize("context", ["0", "-1", "16", "32769", str(10**30)])
def test_an_impossible_context_is_refused_with_both_limits(
    context: str, checkpoint: Path, tmp_path: Path
) -> None:
    result = exported(checkpoint, tmp_path / "out", "--max-context", context)
    assert_refused(result, "EVL-CONTEXT-LIMIT")
    assert "16 tokens" in result.err
    assert "32768 positions" in result.err


@pytest.mark.parametrize("dialect", ["", "nonsense", "ort,", "ORT", "trt,trt", "ort, ort"])
def test_a_dialect_that_is_unknown_or_named_twice_is_refused(
    dialect: str, checkpoint: Path, tmp_path: Path
) -> None:
    assert_refused(exported(checkpoint, tmp_path / "out", "--dialect", dialect), "EVL-DIALECT")


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[Path]:
    folder.mkdir()
    call = ["mount", "-t", "tmpfs", "-o", options, "none", str(folder)]
    try:
        done = subprocess.run(call, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount command here")
    if done.returncode:
        pytest.skip(f"mounting is refused here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_refused_with_both_figures(checkpoint: Path, tmp_path: Path) -> None:
    with mounted(tmp_path / "small", "size=1m") as disk:
        result = exported(checkpoint, disk / "out")
        assert_refused(result, "EVL-DISK-FULL")
        assert "1 MiB are free" in result.err


def test_a_disk_that_cannot_be_written_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    with mounted(tmp_path / "sealed", "ro,size=1m") as disk:
        assert_refused(exported(checkpoint, disk / "out"), "EVL-OUT-UNWRITABLE")


def test_a_disk_that_fills_up_underway_leaves_nothing(checkpoint: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()

    def no_large_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    done = subprocess.run(
        command("export", checkpoint, home / "out"),
        capture_output=True,
        check=False,
        env=environment(),
        preexec_fn=no_large_files,
    )
    assert_refused(Ran(done.returncode, done.stdout.decode(), done.stderr.decode()), "EVL-DISK-FULL")
    assert list(home.iterdir()) == []


def test_under_json_an_error_is_also_the_last_line_of_stdout(tmp_path: Path) -> None:
    result = ran("export", tmp_path / "nowhere", tmp_path / "out", "--json")
    assert result.status == 2
    assert len(result.out.splitlines()) == 1
    told = result.record()["error"]
    assert set(told) == {"code", "what", "why", "fix"}
    assert told["code"] == "EVL-CHECKPOINT-FOLDER"
    assert f"do:   {told['fix']}" in result.err


def test_a_real_process_says_the_same(tmp_path: Path) -> None:
    result = spawned("export", tmp_path / "nowhere", tmp_path / "out")
    assert_refused(result, "EVL-CHECKPOINT-FOLDER")
    assert list(tmp_path.iterdir()) == []
