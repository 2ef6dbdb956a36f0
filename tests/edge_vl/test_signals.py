"""Stopped in the middle: one line, the status that shells expect, and nothing half-written."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.edge_vl.command import WAIT_S, started, wait_until

ENDINGS = [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]


def last_words(process: subprocess.Popen[bytes]) -> list[str]:
    """Of stderr, progress left out."""
    _, err = process.communicate(timeout=WAIT_S)
    return [line for line in err.decode().splitlines() if " MiB of " not in line]


def assert_stopped(process: subprocess.Popen[bytes], status: int) -> None:
    words = last_words(process)
    assert process.returncode == status, words
    assert len(words) == 1
    assert words[0].endswith("; nothing was left half-written")


@pytest.mark.parametrize(("number", "status"), ENDINGS)
@pytest.mark.parametrize("delay_s", [0.0, 1.0])
def test_a_stopped_export_leaves_nothing(
    number: int, status: int, delay_s: float, checkpoint: Path, tmp_path: Path
) -> None:
    with started("export", checkpoint, tmp_path / "out") as process:
        wait_until(lambda: any(tmp_path.iterdir()), "the staging folder")
        time.sleep(delay_s)
        process.send_signal(number)
        assert_stopped(process, status)
    assert list(tmp_path.iterdir()) == []


def test_an_export_killed_without_warning_is_swept_by_the_next(checkpoint: Path, tmp_path: Path) -> None:
    with started("export", checkpoint, tmp_path / "out") as process:
        wait_until(lambda: any(tmp_path.iterdir()), "the staging folder")
        process.kill()
    assert [path.name.startswith(".out.") for path in tmp_path.iterdir()] == [True]
    with started("export", checkpoint, tmp_path / "out") as process:
        assert process.wait(WAIT_S) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize(("number", "status"), ENDINGS)
def test_a_stopped_answer_ends_in_one_line(number: int, status: int, bundle: Path) -> None:
    with started("run", bundle, "--prompt", "hi", "--max-tokens", "32000") as process:
        assert process.stdout is not None
        process.stdout.read(1)
        process.send_signal(number)
        assert_stopped(process, status)


def test_what_nohup_ignores_stays_ignored(bundle: Path) -> None:
    def ignore() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    with started("run", bundle, "--prompt", "hi", "--max-tokens", "3000", preexec_fn=ignore) as process:
        assert process.stdout is not None
        process.stdout.read(1)
        process.send_signal(signal.SIGHUP)
        out, err = process.communicate(timeout=WAIT_S)
        assert (process.returncode, len(out), err) == (0, 3000, b"")
