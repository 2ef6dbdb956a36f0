from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from demo.random_checkpoint import write_random_checkpoint
from demo.sizes import SIZES
from edge_runtime.bundle import Bundle
from edge_runtime.errors import EdgeVLError
from edge_runtime.tokenizer import Tokenizer
from export.exporter import export_bundle
from export.options import ExportOptions, context_from_options
from tests.checkpoints import PLAIN, write_transformers_checkpoint
from tests.proof.subject import CONTEXT, bundle_below, checkpoint_below, session_folder

ROOT = Path(__file__).resolve().parents[2]
LICENCE = "Use it for good.\n"
MIB = 1 << 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return session_folder(tmp_path_factory)


@pytest.fixture(scope="module")
def again(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The plain bundle, exported by the command in another process, from a checkpoint with a licence."""
    there = tmp_path_factory.mktemp("again")
    shutil.copytree(checkpoint_below(folder, "plain"), there / "checkpoint")
    (there / "checkpoint" / "LICENSE").write_text(LICENCE)
    command = [sys.executable, "-m", "edge_vl", "export", "checkpoint", "bundle"]
    command += ["--precision", "fp32", "--max-context", str(CONTEXT)]
    environment = os.environ | {"PYTHONHASHSEED": "17", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=there, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return there / "bundle"


def test_exporting_twice_gives_the_same_bytes(folder: Path, again: Path) -> None:
    first = bundle_below(folder, "plain")
    one, other = Bundle.open(first).manifest, Bundle.open(again).manifest
    kept = tuple(entry for entry in other.files if entry.path != "LICENSE")
    assert replace(other, files=kept) == one
    for entry in one.files:
        assert (again / entry.path).read_bytes() == (first / entry.path).read_bytes(), entry.path


def test_the_models_licence_travels_with_its_weights(again: Path) -> None:
    assert (again / "LICENSE").read_text() == LICENCE
    assert "LICENSE" in {entry.path for entry in Bundle.open(again).manifest.files}


def test_a_bundle_holds_every_file_that_its_manifest_lists_and_no_other(again: Path) -> None:
    found = {path.relative_to(again).as_posix() for path in again.rglob("*") if path.is_file()}
    assert found == {entry.path for entry in Bundle.open(again).manifest.files} | {"edge-vl.json"}


def test_no_path_of_this_machine_is_in_a_bundle(folder: Path, again: Path) -> None:
    places = {str(ROOT), str(Path.home()), str(again.parent), str(folder), sys.prefix, "site-packages"}
    for path in again.rglob("*"):
        if path.suffix in (".onnx", ".json"):
            content = path.read_bytes()
            assert not [place for place in places if place.encode() in content], path.name


def test_the_tokenizer_is_copied_as_it_is(folder: Path) -> None:
    one = checkpoint_below(folder, "plain") / "tokenizer.json"
    assert (bundle_below(folder, "plain") / "tokenizer.json").read_bytes() == one.read_bytes()


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    """Of the tiny model: a token a byte."""
    path = tmp_path_factory.mktemp("tiny") / "checkpoint"
    write_random_checkpoint(SIZES["tiny"], path)
    return Tokenizer.open(path / "tokenizer.json")


SHORTEST = 224  # 16 of an image, 1 to begin with, 206 bytes around them, 1 of an answer


@pytest.mark.parametrize(
    ("positions", "asked", "given"),
    [(2048, None, 2048), (16384, None, 4096), (16384, 16384, 16384), (SHORTEST, SHORTEST, SHORTEST)],
)
def test_the_context_is_what_was_asked_for_or_what_the_model_can_do(
    positions: int, asked: int | None, given: int, tokenizer: Tokenizer
) -> None:
    spec = SIZES["tiny"]
    spec = replace(spec, decoder=replace(spec.decoder, max_positions=positions))
    assert context_from_options(spec, tokenizer, ExportOptions(max_context=asked)) == given


@pytest.mark.parametrize("asked", [0, -5, 16, 17, SHORTEST - 1, 2049])
def test_a_context_that_no_picture_fits_or_the_model_never_saw_is_refused(
    asked: int, tokenizer: Tokenizer
) -> None:
    with pytest.raises(EdgeVLError) as caught:
        context_from_options(SIZES["tiny"], tokenizer, ExportOptions(max_context=asked))
    assert caught.value.code == "EVL-CONTEXT-LIMIT"
    assert "16 tokens" in caught.value.why
    assert f"one token of the answer {SHORTEST}," in caught.value.why
    assert "2048 positions" in caught.value.why
    assert f"from {SHORTEST} to 2048" in caught.value.fix


def test_a_model_that_no_question_about_a_picture_fits_is_refused(tokenizer: Tokenizer) -> None:
    spec = SIZES["tiny"]
    spec = replace(spec, decoder=replace(spec.decoder, max_positions=SHORTEST - 1))
    with pytest.raises(EdgeVLError) as caught:
        context_from_options(spec, tokenizer, ExportOptions())
    assert caught.value.code == "EVL-CONTEXT-LIMIT"
    assert "--max-context" not in caught.value.fix


def test_a_dialect_that_is_not_written_here_is_refused_before_anything_is_read() -> None:
    with pytest.raises(EdgeVLError) as caught:
        ExportOptions(dialects=("klingon",))  # type: ignore[arg-type]
    assert caught.value.code == "EVL-DIALECT"


def test_a_dialect_that_is_asked_for_twice_is_refused() -> None:
    with pytest.raises(EdgeVLError) as caught:
        ExportOptions(dialects=("ort", "trt", "trt"))
    assert caught.value.code == "EVL-DIALECT"
    assert "'trt' is asked for twice" in caught.value.what


def test_heads_that_onnx_runtime_cannot_take_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    small = replace(PLAIN, heads=2, kv_heads=2, head_dim=12)
    write_transformers_checkpoint(tmp_path / "checkpoint", small)
    with pytest.raises(EdgeVLError) as caught:
        export_bundle(tmp_path / "checkpoint", tmp_path / "bundle")
    assert caught.value.code == "EVL-DIALECT-HEADS"
    assert "12 wide" in caught.value.why
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint"]


def test_an_export_that_breaks_down_leaves_nothing(folder: Path, tmp_path: Path) -> None:
    def stop(label: str, done: int, total: int) -> None:
        assert 0 <= done <= total
        if label == "writing vision_low":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_bundle(checkpoint_below(folder, "plain"), tmp_path / "bundle", progress=stop)
    assert not list(tmp_path.iterdir())


MEASURE = """
import sys
from dataclasses import replace
from pathlib import Path

from demo.random_checkpoint import write_random_checkpoint
from demo.sizes import SIZES
from edge_runtime.memory import MemoryWatch, memory_of_tree
from export.exporter import export_bundle

folder = Path(sys.argv[1])
tiny = SIZES["tiny-low"]
wide = replace(tiny.decoder, width=2048, heads=16, kv_heads=16, head_dim=128, mlp_width=5632, vocab=4096, layers=3)
middle = replace(tiny, decoder=wide, adaptor=replace(tiny.adaptor, width=2048))
write_random_checkpoint(tiny, folder / "tiny")
write_random_checkpoint(middle, folder / "middle")
export_bundle(folder / "tiny", folder / "tiny-bundle")  # what torch takes for itself, once
import gc, os
gc.collect()
before = memory_of_tree(os.getpid()).held_mib
with MemoryWatch() as watch:
    export_bundle(folder / "middle", folder / "middle-bundle")
print(before, watch.peak.held_mib)
"""


def test_memory_of_an_export_does_not_grow_with_the_model(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(tmp_path)],
        cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    before, peak = map(float, done.stdout.split())
    model_mib = (tmp_path / "middle" / "model.safetensors").stat().st_size / MIB
    assert model_mib > 300
    grown = peak - before
    assert grown < model_mib / 3, f"{grown:.0f} MiB more for a model of {model_mib:.0f} MiB"
