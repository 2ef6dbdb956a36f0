"""A board without a battery wakes up in 1970; others dream of 2099. The bundle is the same, to the byte."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.forge import QUIET, Forge
from tests.faults.state import assert_absent_or_whole

DATES_S = {"1970": 0, "2099": 4_070_908_800}
LIBRARIES = [
    *Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"),
    *Path("/usr/lib/faketime").glob("libfaketimeMT.so.1"),
    *Path("/usr/local/lib/faketime").glob("libfaketimeMT.so.1"),
]


def dated(folder: Path, twin: Path, seconds: float) -> Path:
    """A copy whose every file is from that date."""
    shutil.copytree(folder, twin)
    for path in [*twin.rglob("*"), twin]:
        os.utime(path, (seconds, seconds))
    return twin


@pytest.mark.parametrize("year", ["1970", pytest.param("2099", marks=pytest.mark.slow)])
def test_the_whole_way_works_whatever_the_date(
    year: str, forge: Forge, checkpoint: Path, bundle: Path, tmp_path: Path
) -> None:
    clock, out = DATES_S[year], tmp_path / "out"
    source = dated(checkpoint, tmp_path / "checkpoint", clock)
    ended = forge.ran("export", source, out, "--precision", "fp32", clock=clock)
    assert ended.status == 0, ended
    assert_absent_or_whole(out, bundle)
    aged = dated(out, tmp_path / "aged", clock)
    for arguments in (("verify", aged), ("run", aged, "--prompt", "hi", "--max-tokens", "2")):
        ended = forge.ran(*arguments, clock=clock)
        assert (ended.status, ended.err) == (0, ""), ended


@pytest.mark.slow
@pytest.mark.skipif(not LIBRARIES, reason="libfaketime is not installed, so only Python's clock was shifted")
@pytest.mark.parametrize("year", DATES_S)
def test_the_whole_way_works_where_the_systems_clock_says_so_too(
    year: str, checkpoint: Path, bundle: Path, tmp_path: Path
) -> None:
    faked = {
        "LD_PRELOAD": str(LIBRARIES[0]),
        "FAKETIME": f"@{year}-01-02 00:00:00",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",  # it runs from the start of the machine, whatever the date
    }
    out = tmp_path / "out"
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, year, str(checkpoint), str(out)],
        env={**os.environ, **QUIET, **faked},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert_absent_or_whole(out, bundle)


PROGRAM = """
import sys, time
year, checkpoint, out = sys.argv[1:]
assert time.gmtime().tm_year == int(year), time.gmtime()
from edge_vl.cli import main
for arguments in (
    ["export", checkpoint, out, "--precision", "fp32"],
    ["verify", out],
    ["run", out, "--prompt", "hi", "--max-tokens", "2"],
):
    try:
        main(arguments)
    except SystemExit as end:
        assert end.code == 0, arguments
"""
