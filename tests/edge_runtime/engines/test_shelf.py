"""Engines on a shelf: whole ones are found, and of others it is said what is wrong."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

from edge_runtime.engines.key import EngineKey
from edge_runtime.engines.place import Gpu
from edge_runtime.engines.receipt import RECEIPT_NAME, Receipt, write_receipt
from edge_runtime.engines.shelf import Found, Shelf
from edge_runtime.errors import EdgeVLError
from tests.edge_runtime.engines.test_key import KEY, PLACE
from tests.edge_runtime.engines.test_receipt import RECEIPT

PLAN = bytes(range(256)) * 40
NEWER = dataclasses.replace(KEY, place=dataclasses.replace(PLACE, version="10.7.0"))
THOR = dataclasses.replace(KEY, place=dataclasses.replace(PLACE, gpu=Gpu("Thor", "sm110", "13.0")))
RETRAINED = dataclasses.replace(KEY, graph_sha256="ee" * 32)
OF_OTHERS = [
    (NEWER, "it was built by TensorRT 10.7.0, here is TensorRT 10.3.0"),
    (THOR, "it was built for Thor (sm110, CUDA 13.0), here is Orin (sm87, CUDA 12.6)"),
    (RETRAINED, "it was built from another graph, or other weights"),
]


@pytest.fixture
def engine(shelf: Shelf) -> Path:
    """The folder of a whole engine."""
    return put(shelf, KEY)


def put(shelf: Shelf, key: EngineKey, plan: bytes = PLAN) -> Path:
    folder = shelf.path(key)
    folder.mkdir()
    (folder / "decoder.plan").write_bytes(plan)
    write_receipt(folder, receipt_of(key, plan))
    return folder


def receipt_of(key: EngineKey, plan: bytes = PLAN) -> Receipt:
    digest = hashlib.sha256(plan).hexdigest()
    return dataclasses.replace(RECEIPT, key=key, plan_bytes=len(plan), plan_sha256=digest)


def fault(shelf: Shelf) -> str:
    found = shelf.look(KEY)
    assert found.receipt is None
    return found.fault


def test_where_nothing_lies_nothing_is_wrong(shelf: Shelf, tmp_path: Path) -> None:
    assert shelf.look(KEY) == Found(None, "")
    assert Shelf(tmp_path / "nowhere").look(KEY) == Found(None, "")


def test_a_whole_engine_is_found(shelf: Shelf, engine: Path) -> None:
    found = shelf.look(KEY)
    assert found == Found(receipt_of(KEY), "")
    assert found.receipt is not None
    assert shelf.plan(found.receipt) == engine / "decoder.plan"
    assert shelf.plan(found.receipt).read_bytes() == PLAN


def test_engines_lie_side_by_side(shelf: Shelf) -> None:
    keys = (KEY, NEWER, THOR, RETRAINED)
    for number, key in enumerate(keys, 1):
        put(shelf, key, PLAN * number)
    for number, key in enumerate(keys, 1):
        assert shelf.look(key) == Found(receipt_of(key, PLAN * number))


def test_whoever_looks_hears_how_far_it_is(shelf: Shelf, engine: Path) -> None:
    heard: list[tuple[str, int, int]] = []
    shelf.look(KEY, lambda *step: heard.append(step))
    assert heard[-1] == ("hash", len(PLAN), len(PLAN))


@pytest.mark.parametrize("size", [0, 1, len(PLAN) - 1, len(PLAN) + 1])
def test_a_plan_of_another_size_is_named(shelf: Shelf, engine: Path, size: int) -> None:
    os.truncate(engine / "decoder.plan", size)
    assert fault(shelf) == f"decoder.plan has {size} bytes of {len(PLAN)}"


@pytest.mark.parametrize("place", [0, len(PLAN) // 2, len(PLAN) - 1])
def test_a_flipped_bit_in_a_plan_is_named(shelf: Shelf, engine: Path, place: int) -> None:
    data = bytearray(PLAN)
    data[place] ^= 1
    (engine / "decoder.plan").write_bytes(data)
    assert fault(shelf) == "decoder.plan is not what was built: its sha256 differs"


@pytest.mark.parametrize("name", ["decoder.plan", RECEIPT_NAME])
def test_what_a_kill_leaves_of_a_removed_engine_is_not_whole(shelf: Shelf, engine: Path, name: str) -> None:
    (engine / name).unlink()
    assert fault(shelf) == f"{name} is missing"


def test_an_empty_folder_is_no_engine(shelf: Shelf) -> None:
    shelf.path(KEY).mkdir()
    assert fault(shelf) == f"{RECEIPT_NAME} is missing"


def test_a_damaged_receipt_is_named(shelf: Shelf, engine: Path) -> None:
    data = bytearray((engine / RECEIPT_NAME).read_bytes())
    data[data.index(b"5144.5")] ^= 1
    (engine / RECEIPT_NAME).write_bytes(data)
    assert fault(shelf).startswith(f"{RECEIPT_NAME} is damaged: its sha256 is ")


@pytest.mark.parametrize(("other", "words"), OF_OTHERS)
def test_an_engine_that_was_copied_from_another_place_is_not_used(
    shelf: Shelf, tmp_path: Path, other: EngineKey, words: str
) -> None:
    put(shelf, other).rename(shelf.path(KEY))
    assert fault(shelf) == words


@pytest.mark.parametrize("name", ["decoder.plan", RECEIPT_NAME])
@pytest.mark.parametrize("kind", ["folder", "loop", "pipe"])
def test_what_is_no_file_is_no_part_of_an_engine(shelf: Shelf, engine: Path, name: str, kind: str) -> None:
    (engine / name).unlink()
    if kind == "folder":
        (engine / name).mkdir()
    elif kind == "loop":
        (engine / name).symlink_to(name)
    else:
        os.mkfifo(engine / name)
    assert fault(shelf) != ""


def test_what_may_not_be_read_is_said_to_be_so(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    def deny(path: Path) -> NoReturn:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "is_dir", deny)
    assert fault(shelf) == "it cannot be read: Permission denied"


def test_a_file_in_the_place_of_an_engine_is_kept(shelf: Shelf) -> None:
    shelf.path(KEY).write_text("mine")
    assert shelf.look(KEY) == Found(None, "")
    with pytest.raises(EdgeVLError) as caught:
        shelf.remove(KEY)
    assert caught.value.code == "EVL-OUT-UNWRITABLE"
    assert shelf.path(KEY).read_text() == "mine"


def test_a_removed_engine_is_gone_and_its_neighbours_are_not(shelf: Shelf, engine: Path) -> None:
    put(shelf, NEWER)
    shelf.remove(KEY)
    assert shelf.look(KEY) == Found(None, "")
    assert shelf.look(NEWER) == Found(receipt_of(NEWER))


def test_a_link_to_an_engine_is_not_removed_through(shelf: Shelf, engine: Path, tmp_path: Path) -> None:
    engine.rename(tmp_path / "elsewhere")
    engine.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(EdgeVLError) as caught:
        shelf.remove(KEY)
    assert caught.value.code == "EVL-OUT-UNWRITABLE"
    assert sorted(os.listdir(tmp_path / "elsewhere")) == ["decoder.plan", RECEIPT_NAME]


def test_strangers_are_listed_with_what_they_are_for(shelf: Shelf, engine: Path) -> None:
    for key, _ in OF_OTHERS:
        put(shelf, key)
    expected = [(shelf.path(key), words) for key, words in OF_OTHERS]
    assert list(shelf.strangers(KEY)) == sorted(expected)


def test_engines_of_other_names_and_copies_are_no_strangers(shelf: Shelf, engine: Path) -> None:
    put(shelf, dataclasses.replace(KEY, name="decoder.prefill"))
    shutil.copytree(engine, engine.with_name(f"{engine.name}-copy"))
    with shelf.locked(KEY, lambda: None):
        assert list(shelf.strangers(KEY)) == []
    assert list(Shelf(shelf.folder / "nowhere").strangers(KEY)) == []


def test_a_stranger_that_cannot_be_read_is_listed_too(shelf: Shelf, engine: Path) -> None:
    (put(shelf, NEWER) / RECEIPT_NAME).write_text("{")
    (put(shelf, THOR) / RECEIPT_NAME).unlink()
    (engine / RECEIPT_NAME).unlink()  # which is damaged and no stranger
    told = dict(shelf.strangers(KEY))
    assert set(told) == {shelf.path(NEWER), shelf.path(THOR)}
    assert told[shelf.path(NEWER)].startswith(f"{RECEIPT_NAME} is not valid: not the JSON we write")
    assert told[shelf.path(THOR)] == "its receipt cannot be read: No such file or directory"
