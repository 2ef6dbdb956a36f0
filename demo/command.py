"""What the demo's commands share: how they are stopped, how they show progress, and how they tell an error."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import NoReturn, TextIO

from edge_runtime.errors import EdgeVLError
from edge_runtime.publish import staged_file_if_wanted

REDRAW_S, PLAIN_S = 0.1, 10.0
ERASE_LINE = "\r\x1b[K"


def status_told(error: EdgeVLError, is_json: bool = False) -> int:
    """Three lines on stderr, under --json one more on stdout for programs; gives the exit status."""
    print(f"what: {error.what} [{error.code}]\nwhy:  {error.why}\ndo:   {error.fix}", file=sys.stderr)
    if is_json:
        record = {"code": error.code, "what": error.what, "why": error.why, "fix": error.fix}
        print(json.dumps({"error": record}))
    return error.exit_status


def status_of_report(make: Callable[[], object], out: Path | None) -> int:
    """Prints the report that `make` takes its time for, and puts it into `out`, which must not exist, if that is wanted."""
    try:
        with staged_file_if_wanted(out) as path:
            text = json.dumps(make(), indent=1)
            if path is not None:
                path.write_text(text + "\n", encoding="utf-8")
    except EdgeVLError as error:
        return status_told(error)
    print(text)
    return 0


class Stopped(BaseException):
    """A signal came. No KeyboardInterrupt: one that passed through exec() decides how Python itself ends."""


class Stop:
    """The signals that end a command unwind it, so that the temporary bundle goes.

    Libraries may drop the exception or make another of it, so the work asks `check` from time to time.
    """

    def __init__(self) -> None:
        self.number = 0

    def install(self) -> None:
        """Signals that are ignored, as under `nohup`, stay ignored."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
                signal.signal(number, self._stop)

    def check(self) -> None:
        if self.number:
            raise Stopped

    def _stop(self, number: int, _: FrameType | None) -> NoReturn:
        self.number = number
        raise Stopped


class ProgressLine:
    """One line on stderr that is drawn over on a terminal; elsewhere a line now and then."""

    def __init__(self, err: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._err = err
        self._is_live = err.isatty()
        self._clock = clock
        self._drawn = clock()
        self._is_open = False
        self._began = ("", 0.0, 0)  # what is being done, since when, and how much of it was done then

    def __call__(self, label: str, done: int, total: int) -> None:
        now = self._clock()
        if self._began[0] != label:
            self._began = (label, now, done)
        if now - self._drawn < (REDRAW_S if self._is_live else PLAIN_S):
            return
        self._drawn, self._is_open = now, self._is_live
        text = f"{label}  {100 * done // max(total, 1)} %{self._left(now, done, total)}"
        before, end = (ERASE_LINE, "") if self._is_live else ("", "\n")
        print(before + text, end=end, file=self._err, flush=True)

    def _left(self, now: float, done: int, total: int) -> str:
        _, began, first = self._began
        if done <= first:
            return ""
        seconds = round((total - done) * (now - began) / (done - first))
        return f", {seconds // 60} min {seconds % 60:02d} s left"

    def clear(self) -> None:
        if self._is_open:
            print(ERASE_LINE, end="", file=self._err, flush=True)
            self._is_open = False


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        what, fix = "the command line is not understood", f"see `{self.prog} --help`"
        raise EdgeVLError("EVL-USAGE", what, message, fix)
