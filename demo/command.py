"""What the demo's commands share: how they are stopped, and how they tell an error."""

from __future__ import annotations

import argparse
import json
import logging
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from edge_runtime.errors import EdgeVLError
from edge_runtime.publish import staged_file_if_wanted

if TYPE_CHECKING:
    from sys import UnraisableHookArgs


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
        sys.unraisablehook = dropped

    def check(self) -> None:
        if self.number:
            raise Stopped

    def _stop(self, number: int, _: FrameType | None) -> NoReturn:
        self.number = number
        logging.disable()  # what libraries log of the failure that this is to them is no news
        raise Stopped


def dropped(unraisable: UnraisableHookArgs) -> None:
    """What is raised where nothing can catch it, as when a weak reference goes, Python drops and prints: the stop is remembered."""
    if not isinstance(unraisable.exc_value, Stopped):
        sys.__unraisablehook__(unraisable)


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        what, fix = "the command line is not understood", f"see `{self.prog} --help`"
        raise EdgeVLError("EVL-USAGE", what, message, fix)
