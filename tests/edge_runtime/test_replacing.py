"""A small file is the old one or the new one, whatever happens to those who write it."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import pytest

from edge_runtime.child import child_environment
from edge_runtime.errors import EdgeVLError
from edge_runtime.replacing import replaced_file

# Writes half of a new file, says so, and waits to be killed.
SLOW = """
import sys, time
from pathlib import Path
from edge_runtime.replacing import replaced_file
with replaced_file(Path(sys.argv[1])) as path:
    path.write_text("half")
    print("begun", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "trial.json").write_text("old")
    return tmp_path / "trial.json"


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def replace(target: Path, text: str = "new") -> None:
    with replaced_file(target) as path:
        path.write_text(text)


def begun_writer(target: Path) -> subprocess.Popen[bytes]:
    writer = subprocess.Popen(
        [sys.executable, "-c", SLOW, str(target)], stdout=subprocess.PIPE, env=child_environment()
    )
    assert writer.stdout is not None
    assert writer.stdout.readline() == b"begun\n"
    return writer


def end(writer: subprocess.Popen[bytes]) -> None:
    writer.kill()
    writer.communicate()


def test_a_file_that_was_not_there_appears(tmp_path: Path) -> None:
    replace(tmp_path / "trial.json")
    assert names(tmp_path) == ["trial.json"]
    assert (tmp_path / "trial.json").read_text() == "new"


def test_the_old_file_is_there_until_the_new_one_is_whole(target: Path) -> None:
    with replaced_file(target) as path:
        path.write_text("new")
        assert path.parent == target.parent
        assert target.read_text() == "old"
    assert target.read_text() == "new"
    assert names(target.parent) == ["trial.json"]


def test_whoever_reads_the_old_one_reads_on(target: Path) -> None:
    with target.open() as reader:
        replace(target)
        assert reader.read() == "old"


def test_a_body_that_fails_leaves_the_old_one_alone(target: Path) -> None:
    def write_half() -> NoReturn:
        with replaced_file(target) as path:
            path.write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_half()
    assert target.read_text() == "old"
    assert names(target.parent) == ["trial.json"]


def test_what_a_killed_process_left_is_swept_by_the_next(target: Path) -> None:
    end(begun_writer(target))
    assert target.read_text() == "old"
    assert len(names(target.parent)) == 2
    replace(target)
    assert target.read_text() == "new"
    assert names(target.parent) == ["trial.json"]


def test_what_a_living_process_writes_is_left_to_it(target: Path) -> None:
    writer = begun_writer(target)
    try:
        replace(target)
        assert len(names(target.parent)) == 2
    finally:
        end(writer)


def test_other_files_that_begin_alike_are_nobodys_leftovers(target: Path) -> None:
    mine = [".trial.json.bak", ".trial.json.1", ".trial.json.99999999", ".trial.json.0.partial", ".other"]
    for name in mine:
        (target.parent / name).write_text("mine")
    replace(target)
    assert names(target.parent) == sorted([*mine, "trial.json"])


def test_a_name_with_brackets_is_a_name_and_no_pattern(tmp_path: Path) -> None:
    target = tmp_path / "trial[1].json"
    end(begun_writer(target))
    replace(target)
    assert names(tmp_path) == ["trial[1].json"]


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.EACCES, "EVL-OUT-UNWRITABLE"),
        (errno.EROFS, "EVL-OUT-UNWRITABLE"),
        (errno.ENOSPC, "EVL-DISK-FULL"),
        (errno.EIO, "EVL-DISK-FAULT"),
    ],
)
def test_what_the_system_refuses_is_a_named_error_about_the_file(
    target: Path, number: int, code: str
) -> None:
    def refused() -> NoReturn:
        with replaced_file(target) as path:
            raise OSError(number, os.strerror(number), str(path))

    with pytest.raises(EdgeVLError) as caught:
        refused()
    assert (caught.value.code, caught.value.what) == (code, f"{target} cannot be written")
    assert target.read_text() == "old"
    assert names(target.parent) == ["trial.json"]


def test_a_folder_may_be_reached_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    replace(tmp_path / "link" / "trial.json")
    assert (tmp_path / "real" / "trial.json").read_text() == "new"
