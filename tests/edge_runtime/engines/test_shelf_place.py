"""Where engines lie, and what is said where they cannot."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

from edge_runtime.engines.shelf import Found, Shelf, folders_to_look_in, usual_folder
from edge_runtime.errors import EdgeVLError, MachineFault
from tests.edge_runtime.engines.test_key import KEY
from tests.edge_runtime.engines.test_shelf import put, receipt_of


def accessible(*paths: Path) -> Callable[[Any, int], bool]:
    return lambda path, mode: Path(path) in paths and mode == os.W_OK


def test_engines_lie_beside_the_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", accessible(tmp_path))
    assert usual_folder(tmp_path) == tmp_path / "engines"
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_engines_that_is_there_is_asked_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "engines").mkdir()
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    monkeypatch.setattr(os, "access", accessible(tmp_path / "engines"))
    assert usual_folder(tmp_path) == tmp_path / "engines"
    monkeypatch.setattr(os, "access", accessible(tmp_path))
    assert usual_folder(tmp_path) == Path("/cache/edge-vl/engines")


@pytest.mark.parametrize(
    ("cache", "place"),
    [
        ("/cache", "/cache/edge-vl/engines"),
        (None, "/home/ann/.cache/edge-vl/engines"),
        ("", "/home/ann/.cache/edge-vl/engines"),
        ("relative", "/home/ann/.cache/edge-vl/engines"),
    ],
)
def test_engines_of_a_read_only_bundle_lie_in_the_users_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: str | None, place: str
) -> None:
    monkeypatch.setattr(os, "access", accessible())
    monkeypatch.setenv("HOME", "/home/ann")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    if cache is not None:
        monkeypatch.setenv("XDG_CACHE_HOME", cache)
    assert usual_folder(tmp_path) == Path(place)


def test_a_user_without_a_home_is_told_what_to_give(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> NoReturn:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(os, "access", accessible())
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(EdgeVLError) as caught:
        usual_folder(tmp_path)
    assert (caught.value.code, caught.value.fix) == (
        "EVL-OUT-UNWRITABLE",
        "say where they go with --engines DIR",
    )


def test_a_shelf_is_made_with_all_that_is_above_it_and_may_be_there(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "a" / "b" / "engines")
    shelf.make()
    put(shelf, KEY)
    shelf.make()
    assert shelf.look(KEY) == Found(receipt_of(KEY))


@pytest.mark.parametrize("place", ["file", "file/engines", "link", "n" * 300, "loop/engines"])
def test_a_place_where_no_folder_can_be_is_a_named_error(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to("nowhere")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(EdgeVLError) as caught:
        Shelf(tmp_path / place).make()
    assert (caught.value.code, caught.value.exit_status) == ("EVL-OUT-UNWRITABLE", 2)
    assert place in caught.value.what
    assert sorted(os.listdir(tmp_path)) == ["file", "link", "loop"]
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize(
    ("number", "code", "kind"),
    [
        (errno.EROFS, "EVL-OUT-UNWRITABLE", EdgeVLError),
        (errno.EACCES, "EVL-OUT-UNWRITABLE", EdgeVLError),
        (errno.ENOSPC, "EVL-DISK-FULL", EdgeVLError),
        (errno.EIO, "EVL-DISK-FAULT", MachineFault),
    ],
)
def test_what_the_disk_says_of_a_new_shelf_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, code: str, kind: type[EdgeVLError]
) -> None:
    def refuse(path: Path, **how: bool) -> NoReturn:
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(kind) as caught:
        Shelf(tmp_path / "engines").make()
    assert (caught.value.code, caught.value.why) == (code, os.strerror(number))


def test_engines_are_looked_for_in_the_folder_that_was_given(tmp_path: Path) -> None:
    assert folders_to_look_in(tmp_path, Path("mine")) == (Path("mine"),)


def test_engines_are_looked_for_beside_the_manifest_and_where_it_cannot_be_written_to_in_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    monkeypatch.setattr(os, "access", accessible(tmp_path))
    assert folders_to_look_in(tmp_path, None) == (tmp_path / "engines",)
    monkeypatch.setattr(os, "access", accessible())
    cache = Path("/cache/edge-vl/engines")
    assert folders_to_look_in(tmp_path, None) == (tmp_path / "engines", cache)


def test_engines_of_a_read_only_bundle_are_found_by_a_user_without_a_home_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def homeless() -> NoReturn:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(os, "access", accessible())
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    assert folders_to_look_in(tmp_path, None) == (tmp_path / "engines",)
