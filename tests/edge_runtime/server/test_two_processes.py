"""What each of the two processes is made of: the front end may run on another Python than the engine."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from edge_runtime.child import child_environment
from edge_runtime.errors import EdgeVLError
from edge_runtime.server.front import keeper_of
from edge_runtime.server.settings import Settings
from edge_runtime.server.wire import received_here

# Has libraries of its own, and none of our modules. Another minor version would die of our standard library.
OTHER_PYTHON = """#!/bin/sh
case ":$PYTHONPATH:" in *:{standard}:*) exit 70;; esac
PYTHONPATH={libraries} exec {python} -S "$@"
"""


def modules_of(name: str) -> set[str]:
    """The top-level modules that importing it brings."""
    words = f"import {name}, sys; print(*{{each.partition('.')[0] for each in sys.modules}})"
    ended = subprocess.run(
        [sys.executable, "-c", words], stdout=subprocess.PIPE, text=True, env=child_environment(), check=True
    )
    return set(ended.stdout.split())


def test_the_front_end_needs_nothing_of_the_engine() -> None:
    found = modules_of("edge_runtime.server.front, edge_runtime.server.serving, edge_runtime.server.keeper")
    assert {"fastapi", "uvicorn"} <= found
    assert not found & {"numpy", "PIL", "onnxruntime", "tokenizers", "llguidance"}


def test_the_worker_knows_nothing_of_http() -> None:
    found = modules_of("edge_runtime.server.worker.__main__")
    assert {"numpy", "PIL", "tokenizers"} <= found
    assert not found & {"fastapi", "uvicorn", "starlette", "pydantic", "prometheus_client", "h11"}


def notes_of_another_python(folder: Path, libraries: Path, why: str) -> list[str]:
    """What is noted until the bundle, which is none, is not opened."""
    python, notes = folder / "other python", list[str]()
    words = {"standard": sysconfig.get_path("stdlib"), "libraries": libraries, "python": sys.executable}
    python.write_text(OTHER_PYTHON.format(**words))
    python.chmod(0o700)

    async def test() -> None:
        keeper = keeper_of(Settings(folder / "bundle", worker_python=python), notes.append)
        await keeper.start()
        try:
            with pytest.raises(EdgeVLError, match=why):
                await asyncio.wait_for(keeper.opened(), 60)
        finally:
            await keeper.close()

    asyncio.run(test())
    return notes


def test_another_python_finds_our_modules_and_not_our_standard_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    notes_of_another_python(tmp_path, Path(sysconfig.get_path("purelib")), "EVL-BUNDLE")


def test_what_another_python_has_itself_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "edge_runtime.py").write_text("raise SystemExit(33)")
    notes = notes_of_another_python(tmp_path, tmp_path / "own", "EVL-ENGINE-LOST")
    assert "the engine is gone: it ended with status 33" in notes


def test_a_link_that_was_cut_off_is_the_end_for_the_worker() -> None:
    """Closed with something unread, and in the middle of a message: the system tells of a reset then."""
    ours, its = socket.socketpair()
    with its:
        its.sendall(b"a state")
        ours.sendall(b"\0\0\0\xffhalf a question")
        ours.close()
        assert received_here(its) is None
