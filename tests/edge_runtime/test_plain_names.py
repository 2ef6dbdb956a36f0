"""Folders whose names are no text are refused before anything of them is opened or made."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edge_runtime.bundle import Bundle
from edge_runtime.engines.shelf import Shelf
from edge_runtime.errors import EdgeVLError
from edge_runtime.plain_names import refuse_odd_name
from edge_runtime.publish import staged_folder


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    folder = tmp_path / os.fsdecode(b"caf\xe9") / "bundle"
    folder.mkdir(parents=True)
    return folder


def test_a_bundle_below_such_a_folder_is_not_opened(odd: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(odd)
    for path in (odd, tmp_path / "link"):
        with pytest.raises(EdgeVLError, match="EVL-FOLDER-NAME"):
            Bundle.open(path)


def test_none_is_made_there(odd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(odd)
    for path in (odd / "new", Path("new")):
        with pytest.raises(EdgeVLError, match="EVL-OUT-UNWRITABLE"), staged_folder(path):
            pass
    with pytest.raises(EdgeVLError, match="EVL-OUT-UNWRITABLE"):
        Shelf(odd / "engines").make()
    assert os.listdir(odd) == []


@pytest.mark.parametrize("name", ["plain", "größer", "图", "a b\n"])
def test_any_text_is_a_name(name: str) -> None:
    refuse_odd_name(Path(name), "EVL-FOLDER-NAME")
