"""One process makes an engine; the others wait until it has ended, however it does."""

from __future__ import annotations

import dataclasses
import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from edge_runtime.engines.shelf import Shelf
from edge_runtime.errors import EdgeVLError
from edge_runtime.record import json_from_record
from tests.edge_runtime.engines.test_key import KEY
from tests.edge_runtime.engines.test_shelf import NEWER, RETRAINED, THOR

ROOT = Path(__file__).parents[3]
HOLDER = """
import json, sys
from pathlib import Path
from edge_runtime.engines.key import EngineKey
from edge_runtime.engines.shelf import Shelf
from edge_runtime.record import record_from_json

folder, key = Path(sys.argv[1]), record_from_json(EngineKey, json.loads(sys.argv[2]))
with Shelf(folder).locked(key, lambda: print("waiting", flush=True)):
    print("held", flush=True)
    sys.stdin.read()
    (folder / "ended").touch()
"""


def refuse_to_wait() -> NoReturn:
    raise AssertionError("nobody holds the lock")


@pytest.fixture
def holder(shelf: Shelf) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the lock until its standard input ends."""
    with start_holder(shelf) as process:
        try:
            assert heard(process) == "held"
            yield process
        finally:
            process.kill()


def start_holder(shelf: Shelf) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", HOLDER, str(shelf.folder), json.dumps(json_from_record(KEY))]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True)


def heard(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def let_end(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.close()


class Patience:
    """Counts how often we waited; the `enough`-th time it lets the holder end."""

    def __init__(self, holder: subprocess.Popen[str], enough: int) -> None:
        self.holder, self.enough, self.times = holder, enough, 0

    def __call__(self) -> None:
        self.times += 1
        assert self.times < 300, "the holder does not end"
        if self.times == self.enough:
            let_end(self.holder)


def test_the_second_waits_until_the_first_has_ended(shelf: Shelf, holder: subprocess.Popen[str]) -> None:
    waiting = Patience(holder, enough=3)
    with shelf.locked(KEY, waiting):
        assert (shelf.folder / "ended").exists()
    assert waiting.times >= 3


def test_another_process_waits_for_us(shelf: Shelf) -> None:
    with shelf.locked(KEY, refuse_to_wait):
        process = start_holder(shelf)
        assert heard(process) == "waiting"
    with process:
        while (word := heard(process)) == "waiting":
            pass
        assert word == "held"
        let_end(process)
        assert process.wait(60) == 0


def test_the_lock_of_a_killed_process_is_no_lock(shelf: Shelf, holder: subprocess.Popen[str]) -> None:
    holder.send_signal(signal.SIGKILL)
    assert holder.wait(60) == -signal.SIGKILL
    with shelf.locked(KEY, refuse_to_wait):
        assert not (shelf.folder / "ended").exists()


def test_other_engines_are_made_meanwhile(shelf: Shelf, holder: subprocess.Popen[str]) -> None:
    for key in (NEWER, THOR, RETRAINED, dataclasses.replace(KEY, name="decoder.prefill")):
        with shelf.locked(key, refuse_to_wait):
            pass


def test_who_stops_waiting_leaves_nothing_open(shelf: Shelf, holder: subprocess.Popen[str]) -> None:
    def interrupt() -> NoReturn:
        raise KeyboardInterrupt

    before = sorted(os.listdir("/proc/self/fd"))
    with pytest.raises(KeyboardInterrupt), shelf.locked(KEY, interrupt):
        pass
    assert sorted(os.listdir("/proc/self/fd")) == before


def test_a_fault_of_the_body_is_told_as_it_is_and_ends_the_lock(shelf: Shelf) -> None:
    with pytest.raises(PermissionError, match="theirs"), shelf.locked(KEY, refuse_to_wait):
        raise PermissionError("theirs")
    with shelf.locked(KEY, refuse_to_wait):
        pass


@pytest.mark.parametrize("is_there", [False, True])
def test_a_link_in_the_place_of_a_lock_is_not_followed(shelf: Shelf, tmp_path: Path, is_there: bool) -> None:
    target = tmp_path / "target"
    if is_there:
        target.write_text("mine")
    (shelf.folder / f".{KEY.folder}.lock").symlink_to(target)
    with pytest.raises(EdgeVLError) as caught, shelf.locked(KEY, refuse_to_wait):
        pytest.fail("a link was taken for a lock")
    assert caught.value.code == "EVL-OUT-UNWRITABLE"
    assert target.exists() == is_there


def test_a_folder_in_the_place_of_a_lock_is_a_named_error(shelf: Shelf) -> None:
    (shelf.folder / f".{KEY.folder}.lock").mkdir()
    with pytest.raises(EdgeVLError, match="Is a directory"), shelf.locked(KEY, refuse_to_wait):
        pytest.fail("a folder was taken for a lock")


def test_a_shelf_that_is_gone_is_a_named_error(shelf: Shelf) -> None:
    shelf.folder.rmdir()
    with pytest.raises(EdgeVLError) as caught, shelf.locked(KEY, refuse_to_wait):
        pytest.fail("a lock without a folder")
    assert caught.value.code == "EVL-OUT-UNWRITABLE"


def test_a_disk_that_knows_no_locks_is_a_named_error(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int, how: int) -> NoReturn:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(EdgeVLError, match="No locks available"), shelf.locked(KEY, refuse_to_wait):
        pytest.fail("without a lock two processes would make one engine")


def test_a_lock_on_a_read_only_shelf_is_a_named_error(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, *how: int) -> NoReturn:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(EdgeVLError) as caught, shelf.locked(KEY, refuse_to_wait):
        pytest.fail("nothing can be written here")
    assert (caught.value.code, caught.value.why) == ("EVL-OUT-UNWRITABLE", "Read-only file system")
