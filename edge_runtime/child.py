"""What a process of ours that we start is given along."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from edge_runtime.errors import one_line


def child_environment() -> dict[str, str]:
    """It finds the modules that this process finds, wherever it works. For this very Python only: the standard library is
    among them."""
    places = [os.path.abspath(place) for place in sys.path]  # noqa: PTH100  ("" is the working folder)
    return os.environ | {"PYTHONPATH": os.pathsep.join(places)}


def ran_apart(
    command: Sequence[str], folder: str | Path, limit_s: float
) -> subprocess.CompletedProcess[bytes]:
    """The command, run to its end in `folder`, which should be a new one: no file of the user's is taken for a module there.
    subprocess.TimeoutExpired where it does not end; it is killed then."""
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=limit_s,
        cwd=folder,
        env=child_environment(),
        check=False,
    )


def ending_of(ended: subprocess.CompletedProcess[bytes]) -> str:
    """How a process ended that did not do what it was started for, in its own last words if it had any."""
    if ended.returncode < 0:
        return f"it was ended by {signal_name(-ended.returncode)}"
    lines = [line for line in ended.stderr.decode(errors="replace").split("\n") if line.strip()]
    return one_line(lines[-1]) if lines else f"it ended with status {ended.returncode} and said nothing"


def signal_name(number: int) -> str:
    known = {each.value: each.name for each in signal.Signals}
    return known.get(number, f"signal {number}")
