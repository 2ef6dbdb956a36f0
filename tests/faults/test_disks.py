"""A disk that fills up while a bundle is written, and disks that nobody may write to."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.disks import pages_of, seal, small_disk
from tests.faults.forge import Ended, Forge
from tests.faults.state import assert_absent_or_whole, assert_nothing_else, digest_of

LARGE = 4096  # pages: more than all of this needs


def written_order(bundle: Path) -> list[Path]:
    """Its files as export wrote them, one after the other."""
    files = [path for path in bundle.rglob("*") if path.is_file()]
    return sorted(files, key=lambda path: path.stat().st_mtime_ns)


def pages_until(bundle: Path, name: str) -> int:
    """So many that the disk is full in the middle of this file."""
    order = written_order(bundle)
    place = [path.name for path in order].index(name)
    return sum(map(pages_of, order[:place])) + pages_of(order[place]) // 2


def export_onto(disk: Path, forge: Forge, checkpoint: Path) -> Ended:
    return forge.ran("export", checkpoint, disk / "out", "--precision", "fp32", promised_space=True)


def assert_full(ended: Ended) -> None:
    assert (ended.status, ended.code()) == (2, "EVL-DISK-FULL"), ended
    assert "Traceback" not in ended.err
    assert [line.split(":")[0] for line in ended.err.splitlines()[-3:]] == ["what", "why", "do"]


def test_the_stages_of_an_export_are_as_this_file_believes(bundle: Path) -> None:
    names = [path.name for path in written_order(bundle)]
    assert names[0] == "tokenizer.json"
    assert names[-1] == "edge-vl.json"
    assert names.index("embed.bin") < names.index("vision_low.data") < names.index("decoder.data")


@pytest.mark.parametrize(
    "name",
    [
        "tokenizer.json",
        "embed.bin",
        "vision_low.data",
        "edge-vl.json",
        *(
            pytest.param(f"{role}.{kind}", marks=pytest.mark.slow)
            for role in ("adaptor", "decoder")
            for kind in ("data", "onnx")
        ),
        pytest.param("vision_low.onnx", marks=pytest.mark.slow),
    ],
)
def test_a_disk_that_fills_up_at_any_stage_is_named_and_left_as_it_was(
    name: str, forge: Forge, checkpoint: Path, bundle: Path, tmp_path: Path
) -> None:
    before = digest_of(checkpoint)
    pages = max(1, pages_until(bundle, name))
    with small_disk(tmp_path / "disk", pages) as disk:
        assert_full(export_onto(disk, forge, checkpoint))
        assert_nothing_else(disk)
    assert digest_of(checkpoint) == before


def test_a_disk_with_just_enough_room_takes_the_bundle(
    forge: Forge, checkpoint: Path, bundle: Path, tmp_path: Path
) -> None:
    pages = sum(map(pages_of, written_order(bundle)))
    with small_disk(tmp_path / "disk", pages) as disk:
        ended = export_onto(disk, forge, checkpoint)
        assert ended.status == 0, ended
        assert_absent_or_whole(disk / "out", bundle)
        assert_nothing_else(disk, "out")


def test_a_disk_without_a_single_free_page_is_named(forge: Forge, checkpoint: Path, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 2) as disk:
        (disk / "ballast").write_bytes(bytes(2 * 4096))
        assert_full(export_onto(disk, forge, checkpoint))
        assert_nothing_else(disk, "ballast")


def test_without_promises_a_small_disk_is_refused_before_anything_is_written(
    forge: Forge, checkpoint: Path, tmp_path: Path
) -> None:
    with small_disk(tmp_path / "disk", 300) as disk:
        ended = forge.ran("export", checkpoint, disk / "out")
        assert_full(ended)
        assert "MiB are needed" in ended.err
        assert_nothing_else(disk)


# --- read-only media


@pytest.fixture
def sealed(checkpoint: Path, bundle: Path, tmp_path: Path) -> Iterator[Path]:
    """A read-only disk with the checkpoint, the bundle, and a folder to call home."""
    with small_disk(tmp_path / "sealed", LARGE) as disk:
        shutil.copytree(checkpoint, disk / "checkpoint")
        shutil.copytree(bundle, disk / "bundle")
        (disk / "home").mkdir()
        seal(disk)
        yield disk


def test_the_disk_is_sealed(sealed: Path) -> None:
    with pytest.raises(OSError, match="Read-only"):
        (sealed / "home" / "file").touch()


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "BUNDLE", "--prompt", "hi", "--max-tokens", "2", "--json"),
        ("run", "BUNDLE", "--prompt", "hi", "--max-tokens", "2", "--trust-bundle"),
        ("verify", "BUNDLE"),
        ("verify", "BUNDLE", "--against", "CHECKPOINT"),
    ],
)
def test_a_bundle_that_cannot_be_written_works_and_nothing_else_is_written(
    arguments: tuple[str, ...], forge: Forge, sealed: Path
) -> None:
    places = {"BUNDLE": str(sealed / "bundle"), "CHECKPOINT": str(sealed / "checkpoint")}
    ended = forge.ran(
        *(places.get(each, each) for each in arguments), home=str(sealed / "home"), reading_only=True
    )
    assert ended.status == 0, ended


def test_a_checkpoint_that_cannot_be_written_is_exported(
    forge: Forge, bundle: Path, sealed: Path, tmp_path: Path
) -> None:
    (tmp_path / "there").mkdir()
    ended = forge.ran(
        "export",
        sealed / "checkpoint",
        tmp_path / "there" / "out",
        "--precision",
        "fp32",
        home=str(sealed / "home"),
    )
    assert ended.status == 0, ended
    assert_absent_or_whole(tmp_path / "there" / "out", bundle)
    assert_nothing_else(tmp_path / "there", "out")


def test_an_export_onto_a_sealed_disk_is_refused(forge: Forge, sealed: Path) -> None:
    ended = forge.ran("export", sealed / "checkpoint", sealed / "out")
    assert (ended.status, ended.code()) == (2, "EVL-OUT-UNWRITABLE"), ended


def test_the_watch_over_writing_sees_it(forge: Forge, checkpoint: Path, tmp_path: Path) -> None:
    ended = forge.ran("export", checkpoint, tmp_path / "out", reading_only=True)
    assert ended.status == 3, ended
    assert "os.mkdir" in ended.err
