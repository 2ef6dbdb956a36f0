"""What a process may be made to live under, before its work begins."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from edge_runtime import standard_streams
from edge_vl import cli
from edge_vl.signals import Signals
from edge_vl.terminal import Terminal
from tests.faults.forge import STOPPING
from tests.faults.state import digest_of

MUCH = 1 << 50


def promised_space(_: object) -> None:
    """The disk says that it has room, and has not: somebody else is about to fill it."""
    shutil.disk_usage = lambda path: shutil._ntuple_diskusage(MUCH, 0, MUCH)


def clock(seconds: float) -> None:
    """The clock stands at another date and goes on from there."""
    shift = seconds - time.time()
    true_time, true_time_ns = time.time, time.time_ns
    time.time = lambda: true_time() + shift
    time.time_ns = lambda: true_time_ns() + int(shift * 1e9)


def room_mib(count: int) -> None:
    """So much more address space than is taken now, and no more."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    limit = pages * resource.getpagesize() + (count << 20)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def home(folder: str) -> None:
    """Everything that a program might write to without being asked lies there."""
    os.chdir(folder)
    for name in (
        "HOME",
        "TMPDIR",
        "TEMP",
        "TMP",
        "XDG_CACHE_HOME",
        "XDG_CONFIG_HOME",
        "XDG_DATA_HOME",
        "PYTHONPYCACHEPREFIX",
    ):
        os.environ[name] = folder


def default_signals(_: object) -> None:
    """As a shell leaves them. The forge holds back those that come before the command has begun."""
    # One may come between a file's opening and the `with` that closes it: Python then closes the file and, only where
    # warnings are errors, as they are in the forge, says so.
    warnings.filterwarnings("ignore", category=ResourceWarning)
    for number in STOPPING:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    told_status = cli.told_status

    def begun(arguments: Sequence[str], terminal: Terminal, is_json: bool) -> int:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
        return told_status(arguments, terminal, is_json)

    cli.told_status = begun


def signal_at_the_end(number: int) -> None:
    """It comes when all was said and done, and only the streams are still to be closed."""
    let_go = standard_streams.let_go

    def interrupted(stream: TextIO) -> None:
        os.kill(os.getpid(), number)
        let_go(stream)

    standard_streams.let_go = interrupted


def signal_when_all_is_done(number: int) -> None:
    """It comes when the command has its status, and signals are about to be what they are to any process."""
    rest = Signals.rest

    def interrupted(signals: Signals) -> None:
        Signals.rest = rest  # type: ignore[method-assign]
        os.kill(os.getpid(), number)
        rest(signals)

    Signals.rest = interrupted  # type: ignore[method-assign, assignment]


def watched(places: tuple[str, str, str]) -> None:
    """Before every step that the interpreter reports: is `out` absent, whole as `model` is, or between?"""
    out, model, log = map(Path, places)
    wanted = digest_of(model)
    record = log.open("w", encoding="ascii")
    is_looking = False

    def look(event: str, _: object) -> None:
        nonlocal is_looking
        if is_looking or event.partition(".")[0] not in ("os", "open", "fcntl", "shutil", "ctypes"):
            return
        is_looking = True
        state = "absent" if not os.path.lexists(out) else "whole" if digest_of(out) == wanted else "half"
        record.write(f"{state}\n")
        record.flush()
        is_looking = False

    sys.addaudithook(look)


def reading_only(_: object) -> None:
    """Whoever opens a file for writing, or makes or moves one, is told off."""

    def refuse(event: str, arguments: tuple[object, ...]) -> None:
        if event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR):
            raise AssertionError(f"{arguments[0]!r} was opened for writing")
        if event in ("os.mkdir", "os.rename", "os.link", "os.symlink", "os.truncate", "os.utime"):
            raise AssertionError(f"{event} {arguments!r}")

    sys.addaudithook(refuse)
