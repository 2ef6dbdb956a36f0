"""Which files of a folder are pictures."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image

from edge_runtime.picture_folder import PictureFolder, contents_of


def touched(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).write_bytes(b"words")
    return folder


def test_names_tell_pictures_from_other_files_in_any_case(tmp_path: Path) -> None:
    found = contents_of(touched(tmp_path, "b.JPG", "a.png", "notes.txt", "c.heic", "a.png.xmp", "clip.mp4"))
    assert [path.name for path in found.pictures] == ["a.png", "b.JPG", "c.heic"]
    assert found.others == ("a.png.xmp", "clip.mp4", "notes.txt") and found.folders == 0


def test_files_without_an_ending_are_looked_into(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "4f2a", "PNG")
    found = contents_of(touched(tmp_path, "README"))
    assert [path.name for path in found.pictures] == ["4f2a"] and found.others == ("README",)


def test_hidden_names_and_what_lies_in_folders_do_not_count(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / ".hidden").mkdir()
    touched(tmp_path / "more", "a.png")
    assert contents_of(touched(tmp_path, ".DS_Store", ".a.png")) == PictureFolder((), (), 1)


def test_a_link_that_leads_nowhere_is_a_picture_that_cannot_be_opened(tmp_path: Path) -> None:
    (tmp_path / "a.png").symlink_to(tmp_path / "gone.png")
    assert [path.name for path in contents_of(tmp_path).pictures] == ["a.png"]


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert contents_of(tmp_path) == PictureFolder((), ("pipe",), 0)


@pytest.mark.parametrize(
    ("others", "folders", "said"),
    [
        ((), 0, "there is nothing in it"),
        ((), 1, "there is nothing in it but a folder, which is not searched"),
        (("a.txt", "b.txt"), 0, "there is nothing in it but files that are no pictures (a.txt, b.txt)"),
        (("a.txt",), 2, "files that are no pictures (a.txt) and 2 folders, which are not searched"),
    ],
)
def test_what_there_is_instead_of_pictures_is_told(others: tuple[str, ...], folders: int, said: str) -> None:
    assert PictureFolder((), others, folders).why_empty().endswith(said)
