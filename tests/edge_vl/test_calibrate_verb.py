"""`edge-vl calibrate` in the hands of somebody who gets it wrong."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import time
from argparse import ArgumentParser
from pathlib import Path

import onnxruntime
import pytest
from PIL import Image

from edge_runtime.bundle import Bundle
from edge_vl.flags_of_stages import add_calibrate
from tests.edge_vl.command import Ran, assert_refused, ran, started

INT8 = ["--vision", "fp16", "--decoder", "int8", "--head", "int8"]
NOTHING = ["--vision", "fp16", "--decoder", "fp16", "--head", "fp16"]
LINE = {"image": "0.png", "prompt": "What?"}
FILE_BYTES = 64 << 10  # less than the graph's data


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--method", "awq", "--decoder", "w8a8"], "--method awq has nothing to do"),
        (["--method", "gptq", *INT8], "--method gptq has nothing to do"),
        (["--block", "32", *INT8], "--block 32 has nothing to do"),
        (["--observer", "mse", "--vision", "fp16"], "--observer mse has nothing to do"),
        (["--smooth", "0.5", "--vision", "fp16"], "--smooth 0.5 has nothing to do"),
        (NOTHING, "nothing is to be quantised"),
        (["--smooth", "2"], "nothing is smoothed by 2"),
        (["--budget-kl", "-1"], "--budget-kl -1"),
        (["--budget-accuracy", "1"], "--eval"),
        (["--vision", "fp16", "--budget-kl", "1"], "there are no samples"),
        (["--vision", "fp16", "--limit", "4"], "--limit 4 has nothing to do"),
        ([], "there are no samples"),
    ],
)
def test_options_that_mean_nothing_are_refused_before_anything_is_read(
    tmp_path: Path, options: list[str], word: str
) -> None:
    """The bundle is not even there."""
    refused = ran("calibrate", tmp_path / "none", tmp_path / "out", *options)
    assert refused.status == 2 and word in refused.err, refused.err
    assert_refused(refused, refused.err.splitlines()[0].rpartition("[")[2].rstrip("]"))


@pytest.mark.parametrize(
    "options",
    [
        ["--method", "awq", "--decoder", "w8a8", "--head", "int4", "--kv", "int8", "--embedding", "int8"],
        ["--method", "gptq", "--decoder", "fp16", "--head", "int4", "--block", "64"],
        [*NOTHING, "--kv", "int8"],
        [*NOTHING, "--embedding", "int8"],
    ],
)
def test_odd_mixes_make_bundles_that_open(
    source: Path, photos: Path, tmp_path: Path, options: list[str]
) -> None:
    out = tmp_path / "out"
    done = ran("calibrate", source, out, "--images", photos, "--limit", "1", "--vision", "fp16", *options)
    assert done.status == 0, done.err
    quality = Bundle.open(out).manifest.quality
    assert quality is not None and quality["logit_kl"] < 0.1


def test_an_output_that_is_there_is_left_alone(source: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    assert_refused(ran("calibrate", source, tmp_path / "out", *INT8), "EVL-OUT-EXISTS")
    assert names_in(tmp_path) == ["out"] and names_in(tmp_path / "out") == []


def test_nothing_is_written_into_the_bundle(source: Path, tmp_path: Path) -> None:
    before = names_in(source)
    (tmp_path / "link").symlink_to(source)
    for out in (source / "small", source / "graphs" / "small", tmp_path / "link" / "small"):
        refused = ran("calibrate", source, out, *INT8)
        assert_refused(refused, "EVL-OUT-UNWRITABLE")
        assert "only read" in refused.err
    assert_refused(ran("calibrate", source, source, *INT8), "EVL-OUT-EXISTS")
    assert names_in(source) == before


def test_a_parent_that_is_not_there_is_named(source: Path, tmp_path: Path) -> None:
    refused = ran("calibrate", source, tmp_path / "none" / "out", *INT8)
    assert_refused(refused, "EVL-OUT-UNWRITABLE")
    assert "none" in refused.err and names_in(tmp_path) == []


def test_a_parent_that_may_not_be_written_is_named(source: Path, tmp_path: Path) -> None:
    """Even root may not make folders there."""
    assert_refused(ran("calibrate", source, "/proc/self/out", *INT8), "EVL-OUT-UNWRITABLE")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "EVL-CALIBRATE-SAMPLES"),
        ("\n\n", "EVL-CALIBRATE-SAMPLES"),
        (json.dumps(LINE) + '\n{"image": "0.png", "pro', "EVL-CALIBRATE-SAMPLES"),
        (json.dumps(LINE) + '\n{"image": "0.png"}', "EVL-CALIBRATE-SAMPLES"),
        ('{"image": "none.png", "prompt": "?"}', "EVL-CALIBRATE-SAMPLES"),
        ('{"image": "list.jsonl", "prompt": "?"}', "EVL-CALIBRATE-SAMPLES"),
        ('{"image": 3, "prompt": "?"}', "EVL-CALIBRATE-SAMPLES"),
        ("[]", "EVL-CALIBRATE-SAMPLES"),
    ],
)
def test_lists_that_are_no_samples_are_refused(
    source: Path, photos: Path, tmp_path: Path, text: str, code: str
) -> None:
    shutil.copy(photos / "0.png", tmp_path)
    (tmp_path / "list.jsonl").write_text(text)
    assert_refused(ran("calibrate", source, tmp_path / "out", "--samples", tmp_path / "list.jsonl"), code)
    assert names_in(tmp_path) == ["0.png", "list.jsonl"]


@pytest.mark.parametrize("name", ["none", "0.png", "empty"])
def test_folders_without_pictures_are_refused(source: Path, photos: Path, tmp_path: Path, name: str) -> None:
    shutil.copy(photos / "0.png", tmp_path)
    (tmp_path / "empty").mkdir()
    refused = ran("calibrate", source, tmp_path / "out", "--images", tmp_path / name)
    assert_refused(refused, "EVL-CALIBRATE-SAMPLES")


def test_too_many_broken_pictures_are_refused_and_few_are_told(
    source: Path, photos: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "photos"
    shutil.copytree(photos, folder)
    (folder / "broken.png").write_bytes(b"\x89PNG")
    refused = ran("calibrate", source, tmp_path / "out", "--images", folder)
    assert_refused(refused, "EVL-CALIBRATE-SAMPLES")
    assert "broken.png" in refused.err and names_in(tmp_path) == ["photos"]


def test_a_name_that_is_no_text_is_told_and_spoils_nothing(
    source: Path, photos: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for index in range(10):
        Image.new("L", (40 + index, 40)).save(folder / os.fsdecode(b"caf\xe9%d.png" % index))
    (folder / os.fsdecode(b"br\xf6ken.png")).write_bytes(b"")
    done = ran("calibrate", source, tmp_path / "out", "--images", folder, *INT8)
    assert done.status == 0, done.err
    assert "left out: br ken.png" in done.out
    names = json.loads((tmp_path / "out" / "quality.json").read_bytes())["samples"]["names"]
    assert len(names) == 10 and "caf?0.png" in names


def test_prompts_that_cannot_be_asked_are_refused_before_the_work(
    source: Path, photos: Path, tmp_path: Path
) -> None:
    shutil.copy(photos / "0.png", tmp_path)
    long = LINE | {"prompt": "word " * 9000}
    (tmp_path / "list.jsonl").write_text(f"{json.dumps(LINE)}\n{json.dumps(long)}")
    refused = ran("calibrate", source, tmp_path / "out", "--samples", tmp_path / "list.jsonl")
    assert_refused(refused, "EVL-CALIBRATE-SAMPLES")
    assert "list.jsonl, line 2" in refused.err and names_in(tmp_path) == ["0.png", "list.jsonl"]


def test_other_files_among_the_pictures_are_named(source: Path, photos: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(photos, tmp_path / "photos"))
    (folder / "notes.txt").write_text("sunny")
    done = ran("calibrate", source, tmp_path / "out", "--images", folder, *INT8)
    assert done.status == 0, done.err
    assert "not taken for pictures: notes.txt" in done.out.splitlines()


def test_exams_are_refused_before_the_work(source: Path, photos: Path, tmp_path: Path) -> None:
    shutil.copy(photos / "0.png", tmp_path)
    exam = tmp_path / "exam.jsonl"
    exam.write_text(json.dumps(LINE | {"answer": "word " * 100}))
    refused = ran("calibrate", source, tmp_path / "out", *INT8, "--eval", exam, "--images", photos)
    assert_refused(refused, "EVL-CALIBRATE-EVAL")
    assert names_in(tmp_path) == ["0.png", "exam.jsonl"]


def test_quantised_bundles_and_other_folders_are_refused(source: Path, photos: Path, tmp_path: Path) -> None:
    once = tmp_path / "once"
    assert ran("calibrate", source, once, *INT8).status == 0
    assert_refused(ran("calibrate", once, tmp_path / "twice", *INT8), "EVL-CALIBRATE-FLOAT")
    assert_refused(ran("calibrate", photos, tmp_path / "out", *INT8), "EVL-BUNDLE-MISSING")
    assert names_in(tmp_path) == ["once"]


def limit_files() -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_BYTES, FILE_BYTES))


def test_a_full_disk_is_told_and_nothing_half_written_stays(source: Path, tmp_path: Path) -> None:
    process = started("calibrate", source, tmp_path / "out", *INT8, preexec_fn=limit_files)
    out, err = process.communicate(timeout=120)
    assert_refused(Ran(process.returncode, out.decode(), err.decode()), "EVL-DISK-FULL")
    assert names_in(tmp_path) == []


def test_ctrl_c_leaves_what_was_found_and_nothing_half_written(
    source: Path, photos: Path, tmp_path: Path
) -> None:
    options: list[str | Path] = ["--images", photos, "--vision", "fp16", "--method", "gptq"]
    process = started("calibrate", source, tmp_path / "out", *options)
    while process.poll() is None and not list(tmp_path.glob(".out.desk/*.npz")):
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    said = err.decode().splitlines()[-1]
    assert said.startswith("interrupted; nothing was left half-written; the same command goes on"), said
    assert said.endswith(f"in {tmp_path / '.out.desk'}") and names_in(tmp_path) == [".out.desk"]


def test_an_older_onnxruntime_neither_makes_nor_opens_caches_of_bytes(
    source: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, other = tmp_path / "out", tmp_path / "other"
    options: list[str | Path] = ["--images", photos, "--limit", "1", *NOTHING, "--kv", "int8"]
    assert ran("calibrate", source, out, *options).status == 0
    monkeypatch.setattr(onnxruntime, "__version__", "1.24.1")
    assert_refused(ran("calibrate", source, other, *options), "EVL-ENGINE-CACHE")
    assert not other.exists()
    assert_refused(ran("run", out, "--prompt", "hi", "--max-tokens", "1"), "EVL-ENGINE-CACHE")
    proved = ran("verify", out)
    assert proved.status == 0
    assert "engine     none: this bundle's cache is 8-bit (ONNX Runtime 1.24.1 is installed" in proved.out


def test_help_says_what_caches_of_bytes_need() -> None:
    parser = ArgumentParser()
    add_calibrate(parser)
    assert "needs ONNX Runtime 1.25 where it answers" in " ".join(parser.format_help().split())
