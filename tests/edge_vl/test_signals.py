"""Stopped in the middle: one line, the status that shells expect, and nothing half-written."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_vl.signals import Interrupted, Signals, Stopped, dropped
from edge_vl.terminal import Terminal
from tests.edge_vl.command import WAIT_S, environment, started, wait_until

ENDINGS = [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]


def test_a_fault_right_after_a_signal_is_the_signals_doing(capfd: pytest.CaptureFixture[str]) -> None:
    """As where C code turns the exception of our handler into one of its own."""
    code = (
        "import os, signal, sys\n"
        "from edge_vl import cli\n"
        "from edge_vl.verbs import verify\n"
        "def verb(*_):\n"
        "    try:\n"
        "        os.kill(os.getpid(), int(sys.argv[1]))\n"
        "        signal.pause()\n"
        "    except BaseException:\n"
        "        raise ValueError('shape of what?') from None\n"
        "verify.run = verb\n"
        "cli.main(['verify', 'BUNDLE'])\n"
    )
    for number, status in ENDINGS:
        call = [sys.executable, "-c", code, str(int(number))]
        assert subprocess.run(call, env=environment(), check=False, timeout=WAIT_S).returncode == status
        assert capfd.readouterr().err.endswith("; nothing was left half-written\n")


def test_work_that_went_on_after_a_signal_is_stopped_when_it_tells_its_progress() -> None:
    terminal = Terminal(io.StringIO(), io.StringIO())
    terminal.progress("writing", 1, 2)
    for number, kind in ((signal.SIGINT, Interrupted), (signal.SIGTERM, Stopped)):
        with contextlib.suppress(Stopped, KeyboardInterrupt):
            terminal.signals._raise(number, None)
        with pytest.raises(kind):
            terminal.progress("writing", 2, 2)


def test_a_signal_that_a_destructor_swallowed_says_nothing_and_stops_the_next_step() -> None:
    ended = ended_with_verb(
        "class Last:\n"
        "    def __del__(self):\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "        signal.pause()\n"
        "def verb(_, terminal):\n"
        "    Last()\n"
        "    terminal.progress('hash', 1, 2)\n"
    )
    assert ended == (143, b"stopped by SIGTERM; nothing was left half-written\n")


def ended_with_verb(source: str) -> tuple[int, bytes]:
    """Exit status and stderr of a command whose `verb` is this code."""
    before = "import logging, os, signal\nfrom edge_vl import cli\nfrom edge_vl.verbs import verify\n"
    after = "verify.run = verb\ncli.main(['verify', 'BUNDLE'])\n"
    call = [sys.executable, "-c", before + source + after]
    done = subprocess.run(call, env=environment(), capture_output=True, check=False, timeout=WAIT_S)
    return done.returncode, done.stderr


def test_what_libraries_log_of_a_signal_is_not_shown() -> None:
    """As torch does, with a traceback, when an exception passes through its tracing."""
    ended = ended_with_verb(
        "def verb(*_):\n"
        "    try:\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "        signal.pause()\n"
        "    except BaseException:\n"
        "        logging.getLogger('torch').exception('failed')\n"
        "        raise\n"
    )
    assert ended == (143, b"stopped by SIGTERM; nothing was left half-written\n")


def test_a_fault_that_a_destructor_swallowed_is_still_shown(capsys: pytest.CaptureFixture[str]) -> None:
    class Last:
        def __del__(self) -> None:
            raise ValueError("lost")

    before = sys.unraisablehook
    sys.unraisablehook = dropped
    try:
        Last()
    finally:
        sys.unraisablehook = before
    assert "ValueError: lost" in capsys.readouterr().err


def test_waiting_for_a_line_ends_with_the_line_or_with_a_signal() -> None:
    """The signal's byte comes from C, before Python could act: as when it arrives right before the read."""
    reading, writing = os.pipe()
    with os.fdopen(reading) as lines, os.fdopen(writing, "w") as typed:
        later = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGUSR1))
        seen: list[int] = []
        before = signal.signal(signal.SIGUSR1, lambda number, _: seen.append(number))
        try:
            later.start()
            Signals().wait_for_line(lines)  # nothing can be read: only the signal ends it
        finally:
            signal.signal(signal.SIGUSR1, before)
            later.join()
        assert seen == [signal.SIGUSR1]
        print("line", file=typed, flush=True)
        Signals().wait_for_line(lines)
        assert lines.readline() == "line\n"
    assert signal.set_wakeup_fd(-1) == -1


def test_a_fault_long_after_a_signal_is_its_own() -> None:
    now = [0.0]
    signals = Signals(clock=lambda: now[0])
    assert signals.cause() is None
    with pytest.raises(Stopped):
        signals._raise(signal.SIGTERM, None)
    cause = signals.cause()
    assert cause is not None
    assert cause.number == signal.SIGTERM
    now[0] = 2.0
    assert signals.cause() is None


@pytest.fixture(autouse=True)
def logging_goes_on() -> Iterator[None]:
    yield
    logging.disable(logging.NOTSET)


def last_words(process: subprocess.Popen[bytes]) -> list[str]:
    """Of stderr, progress left out."""
    _, err = process.communicate(timeout=WAIT_S)
    return [line for line in err.decode().splitlines() if " MiB of " not in line]


def assert_stopped(process: subprocess.Popen[bytes], status: int) -> None:
    words = last_words(process)
    assert process.returncode == status, words
    assert len(words) == 1
    assert words[0].endswith("; nothing was left half-written")


@pytest.mark.parametrize(
    ("number", "status", "delay_s"),
    [
        (signal.SIGINT, 130, 0.0),
        (signal.SIGINT, 130, 1.0),
        (signal.SIGTERM, 143, 0.5),
        (signal.SIGHUP, 129, 0.1),
    ],
)
def test_a_stopped_export_leaves_nothing(
    number: int, status: int, delay_s: float, checkpoint: Path, tmp_path: Path
) -> None:
    with started("export", checkpoint, tmp_path / "out") as process:
        wait_until(lambda: any(tmp_path.iterdir()), "the staging folder")
        time.sleep(delay_s)
        process.send_signal(number)
        assert_stopped(process, status)
    assert list(tmp_path.iterdir()) == []


def is_renewed(left: Path) -> bool:
    return not left.exists() and [path.suffix for path in left.parent.iterdir()] == [".partial"]


def test_an_export_killed_without_warning_is_swept_by_the_next(checkpoint: Path, tmp_path: Path) -> None:
    with started("export", checkpoint, tmp_path / "out") as process:
        wait_until(lambda: any(tmp_path.iterdir()), "the staging folder")
        process.kill()
    (left,) = tmp_path.iterdir()
    with started("export", checkpoint, tmp_path / "out") as process:
        wait_until(lambda: is_renewed(left), "a new staging folder alone")
        process.terminate()
        assert_stopped(process, 143)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("number", "status"), ENDINGS)
def test_a_stopped_answer_ends_in_one_line(number: int, status: int, bundle: Path) -> None:
    with started("run", bundle, "--prompt", "hi", "--max-tokens", "32000") as process:
        assert process.stdout is not None
        process.stdout.read(1)
        process.send_signal(number)
        assert_stopped(process, status)


@pytest.mark.parametrize("module", ["edge_vl.cli", "argparse"])
def test_ctrl_c_while_it_is_still_being_loaded_ends_it_without_a_word(module: str) -> None:
    code = (
        "import os, signal, sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, *_):\n"
        f"        if name == {module!r}:\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "            signal.pause()\n"
        "sys.meta_path.insert(0, Finder())\n"
        "from edge_vl.entry import main\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, timeout=WAIT_S)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, b"", b"")


def test_what_nohup_ignores_stays_ignored(bundle: Path) -> None:
    def ignore() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    with started("run", bundle, "--prompt", "hi", "--max-tokens", "3000", preexec_fn=ignore) as process:
        assert process.stdout is not None
        process.stdout.read(1)
        process.send_signal(signal.SIGHUP)
        out, err = process.communicate(timeout=WAIT_S)
        assert (process.returncode, len(out), err) == (0, 3000, b"")


def test_an_interruption_inside_exec_ends_with_the_same_status() -> None:
    ended = ended_with_verb(
        "def verb(*_):\n    exec('os.kill(os.getpid(), signal.SIGINT)')\n    signal.pause()\n"
    )
    assert ended == (130, b"interrupted; nothing was left half-written\n")


@pytest.mark.parametrize(
    ("number", "status", "word"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "SIGTERM"), (signal.SIGHUP, 129, "SIGHUP")],
)
def test_a_signal_ends_with_the_status_that_shells_expect(number: int, status: int, word: str) -> None:
    assert Stopped(number).exit_status == status
    assert word in Stopped(number).words()


def test_what_of_the_work_is_kept_is_told() -> None:
    assert Stopped(signal.SIGTERM, "the rest is there").words().endswith("half-written; the rest is there")
