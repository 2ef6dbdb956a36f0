"""An export in a process of its own is an export like any other."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from demo.beside import Beside
from demo.random_checkpoint import write_random_checkpoint
from demo.sizes import SIZES
from edge_runtime.bundle import Bundle
from edge_runtime.errors import EdgeVLError
from edge_runtime.progress import silent
from export.exporter import export_bundle
from export.options import ExportOptions

OPTIONS = ExportOptions(("trt",), max_context=640)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("beside") / "checkpoint"
    write_random_checkpoint(SIZES["tiny-low"], folder)
    return folder


@pytest.fixture(scope="module")
def plain(checkpoint: Path) -> Bundle:
    export_bundle(checkpoint, checkpoint.parent / "plain", OPTIONS)
    return Bundle.open(checkpoint.parent / "plain")


def is_alive(number: int) -> bool:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    return True


def test_the_bundle_is_the_same(checkpoint: Path, plain: Bundle, tmp_path: Path) -> None:
    told: list[str] = []
    with Beside(checkpoint, tmp_path / "out", OPTIONS) as beside:
        assert 0.5 < beside.finish(lambda label, *_: told.append(label)) < 60
    assert not beside.is_done_again
    assert Bundle.open(tmp_path / "out").manifest.files == plain.manifest.files
    assert told and all(label.startswith("exporting trt for ") for label in told)


def test_what_a_killed_process_left_undone_is_done_here(
    checkpoint: Path, plain: Bundle, tmp_path: Path
) -> None:
    with Beside(checkpoint, tmp_path / "out", OPTIONS) as beside:
        os.kill(beside.process.pid, signal.SIGKILL)
        beside.finish(silent)
    assert beside.is_done_again
    assert Bundle.open(tmp_path / "out").manifest.files == plain.manifest.files


def test_a_bundle_that_is_there_is_whole_however_the_process_ended(checkpoint: Path, tmp_path: Path) -> None:
    with Beside(checkpoint, tmp_path / "out", OPTIONS) as beside:
        while not (tmp_path / "out").exists():
            assert beside.process.poll() is None
            time.sleep(0.005)
        beside.process.kill()
        beside.finish(silent)
    assert not beside.is_done_again


def test_who_leaves_it_leaves_no_process(checkpoint: Path, tmp_path: Path) -> None:
    with Beside(checkpoint, tmp_path / "out", OPTIONS) as beside:
        assert is_alive(beside.process.pid)
    assert not is_alive(beside.process.pid) and not (tmp_path / "out").exists()


def test_what_it_fails_of_is_told(tmp_path: Path) -> None:
    with (
        Beside(tmp_path / "nothing", tmp_path / "out", OPTIONS) as beside,
        pytest.raises(EdgeVLError, match="nothing"),
    ):
        beside.finish(silent)


def test_options_that_would_not_reach_it_are_not_taken(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        Beside(checkpoint, tmp_path / "out", ExportOptions(("trt",), "fp32", max_context=640))
