"""The unit as systemd itself reads it, where this machine has it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.jetson.unit_file import DROP_INS, UNIT, UNITS

SCORE = re.compile(r"Overall exposure level for \S+: ([\d.]+)")
WAIT_S = 60.0
WORST = 2.0


def analysed(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """What systemd-analyze says of files, without a systemd that runs."""
    path = shutil.which("systemd-analyze")
    if path is None:
        pytest.skip("systemd-analyze is not installed here")
    return subprocess.run(
        (path, *words), capture_output=True, text=True, timeout=WAIT_S, check=False, stdin=subprocess.DEVNULL
    )


@pytest.fixture(params=["", *DROP_INS])
def unit(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Alone, and with each drop-in; what it starts is there."""
    drop_in = UNITS / request.param if request.param else None
    text = UNIT.read_text(encoding="utf-8")
    if drop_in is not None:
        text += drop_in.read_text(encoding="utf-8")
    file = tmp_path / UNIT.name
    file.write_text(text.replace("/opt/edge-vl/bin/edge-vl", sys.executable), encoding="utf-8")
    return file


def test_systemd_has_nothing_to_say_about_it(unit: Path) -> None:
    told = analysed("--man=no", "verify", unit)
    assert (told.returncode, told.stdout, told.stderr) == (0, "", "")


def test_little_is_exposed(unit: Path) -> None:
    told = analysed("security", "--no-pager", "--offline=true", f"--threshold={WORST * 10:.0f}", unit)
    if "unrecognized option" in told.stderr:
        pytest.skip("this systemd-analyze is older than 250 and cannot score a file")
    found = SCORE.search(told.stdout)
    assert found is not None, told.stderr
    assert told.returncode == 0, told.stdout
    assert float(found[1]) <= WORST
