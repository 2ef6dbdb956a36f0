"""Where the output goes: pipes that close, disks that are full, terminals that show a bar."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.edge_vl.command import WAIT_S, command, environment, started
from tests.edge_vl.screen import on_screen


def test_a_reader_who_has_seen_enough_ends_an_answer_quietly(bundle: Path) -> None:
    with started("run", bundle, "--prompt", "hi", "--max-tokens", "32000") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read(1)
        process.stdout.close()
        assert process.wait(WAIT_S) == 141
        assert process.stderr.read() == b""


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["--version"], ["nonsense"]])
def test_a_reader_who_never_read_is_no_fault(arguments: list[str]) -> None:
    with started(*arguments) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.wait(WAIT_S) == (2 if arguments == ["nonsense"] else 0)
        assert b"Traceback" not in process.stderr.read()


def test_a_full_disk_behind_stdout_is_told(bundle: Path) -> None:
    with (
        Path("/dev/full").open("wb") as full,
        started("run", bundle, "--prompt", "hi", "--max-tokens", "3", stdout=full) as process,
    ):
        _, err = process.communicate(timeout=WAIT_S)
    assert process.returncode == 3
    assert b"[EVL-STDOUT]" in err
    assert len(err.splitlines()) == 3


@pytest.mark.parametrize("flag", ["--help", "--version"])
def test_help_that_nobody_gets_is_told(flag: str) -> None:
    with Path("/dev/full").open("wb") as full, started(flag, stdout=full) as process:
        _, err = process.communicate(timeout=WAIT_S)
    assert process.returncode == 3
    assert b"[EVL-STDOUT]" in err and len(err.splitlines()) == 3


def test_a_full_disk_behind_stderr_changes_no_status(bundle: Path) -> None:
    with (
        Path("/dev/full").open("wb") as full,
        started("run", bundle, "--prompt", "hi", "--max-tokens", "0", stderr=full) as process,
    ):
        assert process.wait(WAIT_S) == 2


def test_streams_that_the_caller_closed_are_done_without(bundle: Path) -> None:
    call = [
        "sh",
        "-c",
        'exec "$@" <&- >&- 2>&-',
        "sh",
        *command("run", bundle, "--prompt", "hi", "--max-tokens", "2"),
    ]
    assert subprocess.run(call, env=environment(), check=False, timeout=WAIT_S).returncode == 0
    call[-1] = "0"
    assert subprocess.run(call, env=environment(), check=False, timeout=WAIT_S).returncode == 2


def test_an_export_on_a_terminal_shows_a_bar_that_never_wraps_and_is_gone_at_the_end(
    checkpoint: Path, tmp_path: Path
) -> None:
    with on_screen("export", checkpoint, tmp_path / "out", "--json", columns=60) as screen:
        assert screen.wait_for_end() == 0
    *drawn, result = screen.seen.split("\r\x1b[K")
    bars = [each for each in drawn if each]
    assert any("tracing decoder" in bar and " MiB of " in bar for bar in bars)
    assert all("\n" not in bar and len(bar) < 60 for bar in bars)
    note, result = result.split("\r\n", 1)
    assert note.startswith("no licence lies beside config.json")  # these checkpoints have none
    assert result.startswith("{")
    assert result.endswith("}\r\n")


def test_an_interrupted_export_on_a_terminal_clears_its_bar(checkpoint: Path, tmp_path: Path) -> None:
    with on_screen("export", checkpoint, tmp_path / "out") as screen:
        screen.wait_for("tracing")
        screen.type("\x03")
        assert screen.wait_for_end() == 130
    assert screen.seen.split("\r\x1b[K")[-1] == "interrupted; nothing was left half-written\r\n"
    assert list(tmp_path.iterdir()) == []


def test_where_nobody_watches_short_work_is_silent(bundle: Path) -> None:
    with started("verify", bundle) as process:
        _, err = process.communicate(timeout=WAIT_S)
    assert (process.returncode, err) == (0, b"")
