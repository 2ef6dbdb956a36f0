"""The command as users and scripts meet it: arguments in; exit code, stdout and stderr out."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from edge_vl.cli import exit_status
from edge_vl.terminal import Terminal

ROOT = Path(__file__).parents[2]
WAIT_S = 120.0
PROGRESS = re.compile(r"[\w .]+  [\d.]+( MiB| GiB)? of [\d.]+")


@dataclass(frozen=True)
class Ran:
    status: int
    out: str
    err: str

    def record(self) -> dict[str, Any]:
        """The last line of stdout, as scripts read it under --json."""
        found: dict[str, Any] = json.loads(self.out.splitlines()[-1])
        return found


def ran(*arguments: str | Path, lines: str = "") -> Ran:
    """In this process; `lines` is what is typed."""
    out, err = io.StringIO(), io.StringIO()
    status = exit_status([str(each) for each in arguments], Terminal(out, err, io.StringIO(lines)))
    return Ran(status, out.getvalue(), err.getvalue())


def environment(**more: str) -> Mapping[str, str]:
    """Small, quiet, and with the sources of this checkout."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "error", **more}


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "edge_vl", *map(str, arguments)]


def spawned(*arguments: str | Path, lines: str = "", **more: str) -> Ran:
    """In a process of its own, started from elsewhere; `more` are environment variables."""
    done = subprocess.run(
        command(*arguments),
        input=lines.encode(),
        capture_output=True,
        timeout=WAIT_S,
        check=False,
        env=environment(**more),
        cwd="/",
    )
    return Ran(done.returncode, done.stdout.decode(), done.stderr.decode())


def started(
    *arguments: str | Path,
    stdin: int = subprocess.DEVNULL,
    stdout: int | IO[bytes] = subprocess.PIPE,
    stderr: int | IO[bytes] = subprocess.PIPE,
    preexec_fn: Callable[[], object] | None = None,
) -> subprocess.Popen[bytes]:
    """Under way; the test reads, signals and waits."""
    return subprocess.Popen(
        command(*arguments),
        bufsize=0,  # what one reader leaves the next one finds
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        # What a signal leaves open is closed by Python, which as a warning would be one line more.
        env=environment(PYTHONWARNINGS="ignore"),
        cwd="/",
        preexec_fn=preexec_fn,  # noqa: PLW1509  (no other thread of the tests holds a lock)
    )


def wait_until(is_reached: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + WAIT_S
    while not is_reached():
        assert time.monotonic() < end, f"waited {WAIT_S:.0f} s in vain for {what}"
        time.sleep(0.005)


def assert_told(result: Ran, status: int, code: str, out: str = "") -> None:
    """Exactly what, why and do on stderr, with the code, and nothing else anywhere but how far a slow machine had come."""
    assert (result.status, result.out) == (status, out), result
    lines = [line for line in result.err.splitlines() if not PROGRESS.match(line)]
    assert [line.split(":")[0] for line in lines] == ["what", "why", "do"], result.err
    assert lines[0].endswith(f" [{code}]"), result.err
    assert all(len(line) > len("what:  ") for line in lines), result.err


def assert_refused(result: Ran, code: str) -> None:
    assert_told(result, 2, code)
