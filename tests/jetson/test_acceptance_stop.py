"""An acceptance that is stopped: its child ends, and what was found out is written down."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from jetson.errand import ended_command
from jetson.stop import Stop
from tests.edge_vl.command import ROOT, wait_until
from tests.jetson.stand_in import GOOD, Said, StandIn, report_in

WAIT_S = 60.0
MAIN = (
    "import sys; from jetson.acceptance import main; from jetson.acceptance_run import Commands; "
    "words = sys.argv[1:]; at = words.index('::'); end = words.index('::', at + 1); "
    "main(words[end + 1:], Commands(tuple(words[:at]), tuple(words[at + 1:end])))"
)


def started(board: StandIn, hollow: Path, out: Path) -> subprocess.Popen[bytes]:
    commands = board.commands
    words = [*commands.edge_vl, "::", *commands.board, "::", str(hollow), "--out", str(out)]
    return subprocess.Popen(
        [sys.executable, "-c", MAIN, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def read_until(process: subprocess.Popen[bytes], text: bytes) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        if text in line:
            return
    raise AssertionError(f"it ended before it said {text!r}")


def is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_child_and_the_report_is_written(
    hollow: Path, board: StandIn, out: Path, number: signal.Signals
) -> None:
    board.answers = {"build": Said(GOOD["build"], stderr="building\n", waits=True)}
    process = started(board, hollow, out)
    read_until(process, b"build: building")
    process.send_signal(number)
    told, _ = process.communicate(timeout=WAIT_S)
    assert process.returncode == 128 + number
    report = report_in(out)
    assert (report["interrupted"], report["verdict"]) == (number.name, f"interrupted by {number.name}")
    assert [each["status"] for each in report["steps"]] == ["passed"] * 3 + ["interrupted"] + ["skipped"] * 5
    assert not is_alive(board.last_pid())
    assert b"verdict: interrupted" in told


def test_a_second_signal_waits_for_no_child(hollow: Path, board: StandIn, out: Path) -> None:
    board.answers = {"verify": Said(GOOD["verify"], stderr="at work\n", waits=True, is_deaf=True)}
    process = started(board, hollow, out)
    read_until(process, b"at work")
    process.send_signal(signal.SIGTERM)
    read_until(process, b"deaf to 15")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=WAIT_S)
    steps = {each["name"]: each for each in report_in(out)["steps"]}
    assert (steps["verify"]["status"], steps["verify"]["exit_status"]) == ("interrupted", -signal.SIGKILL)
    assert not is_alive(board.last_pid())


def test_a_report_is_written_where_nobody_reads_the_progress(hollow: Path, board: StandIn, out: Path) -> None:
    process = started(board, hollow, out)
    assert process.stderr is not None
    process.stderr.close()
    process.communicate(timeout=WAIT_S)
    assert report_in(out)["verdict"] == "passed"


def test_a_child_that_does_not_end_is_killed_after_its_grace() -> None:
    stop = Stop(grace_s=0.2)
    code = "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True); time.sleep(600)"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        stop.number = signal.SIGTERM  # came before there was a child
        with stop.passed_to(child):
            assert child.wait(WAIT_S) == -signal.SIGKILL


def test_nothing_that_a_child_started_outlives_it() -> None:
    said: list[str] = []
    code = (
        "import os, subprocess, sys; "
        "left = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); "
        "print(left.pid, file=sys.stderr, flush=True); os._exit(0)"
    )
    ended = ended_command([sys.executable, "-c", code], Stop(), said.append)
    assert ended.status == 0
    wait_until(lambda: not is_running(int(said[0])), "the end of what was left")


def test_a_child_that_the_kernel_ends_is_said_to_be() -> None:
    ended = ended_command([sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"], Stop(), print)
    assert (ended.status, ended.ending) == (-signal.SIGKILL, "it was ended by SIGKILL")


def is_running(pid: int) -> bool:
    """A zombie, which whoever adopted it has yet to bury, is not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
