"""Signals that end a command: each unwinds it as an exception, so that everything is cleaned up."""

from __future__ import annotations

import logging
import os
import select
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, NoReturn, TextIO

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

AFTERMATH_S = 1.0


class Stopped(BaseException):
    """A signal asked the process to end. No Exception, so that nothing but cleaning up comes between."""

    def __init__(self, number: int, kept: str = "") -> None:
        super().__init__(number)
        self.number, self.kept = number, kept  # what of the work is kept, in words

    @property
    def exit_status(self) -> int:
        """What shells report for a program that this signal ended."""
        return 128 + self.number

    def words(self) -> str:
        by = signal.Signals(self.number).name
        said = "interrupted" if self.number == signal.SIGINT else f"stopped by {by}"
        kept = f"; {self.kept}" if self.kept else ""
        return f"{said}; nothing was left half-written{kept}"


class Interrupted(KeyboardInterrupt):
    """Ctrl-C. Python itself ends by SIGINT where one of the plain kind has passed through exec()."""


class Signals:
    """What came last, and when."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last: tuple[int, float] | None = None

    def unwind(self) -> None:
        """From now on SIGTERM and SIGHUP clean up as Ctrl-C does; what `nohup` ignores stays ignored."""
        if signal.getsignal(signal.SIGINT) in (signal.default_int_handler, signal.SIG_DFL):
            signal.signal(signal.SIGINT, self._raise)
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) == signal.SIG_DFL:
                signal.signal(number, self._raise)
        sys.unraisablehook = dropped

    def rest(self) -> None:
        """From now on they end the process as they end any: there is nothing left to clean up."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) == self._raise:
                signal.signal(number, signal.SIG_DFL)

    def check(self) -> None:
        """Stops again where a signal came and the work went on.

        The C code of a library that runs Python when a signal comes may drop our exception, or make
        another of it: long work therefore asks here from time to time, and faults ask for their cause.
        """
        if self._last is not None:
            self._raise(self._last[0], None)

    def wait_for_line(self, lines: TextIO) -> None:
        """Returns when there is something to read. A signal that comes right before a read that waits would wait
        with it, for the next line; this one also waits for a byte that each signal writes at once."""
        logging.disable(logging.NOTSET)  # whoever is asked again goes on, signal or not
        awake, alarm = os.pipe()
        os.set_blocking(alarm, False)
        before = signal.set_wakeup_fd(alarm, warn_on_full_buffer=False)
        try:
            select.select([lines.fileno(), awake], [], [])
        finally:
            signal.set_wakeup_fd(before)
            os.close(awake)
            os.close(alarm)

    def cause(self) -> Stopped | None:
        """The signal that a fault of this moment comes from, if one came just now."""
        if self._last is None or self._clock() - self._last[1] > AFTERMATH_S:
            return None
        return Stopped(self._last[0])

    def stop_behind(self, fault: BaseException) -> Stopped | None:
        """The same, of a fault that may be the signal's own exception."""
        if isinstance(fault, Stopped):
            return fault
        return Stopped(signal.SIGINT) if isinstance(fault, KeyboardInterrupt) else self.cause()

    def _raise(self, number: int, _: FrameType | None) -> NoReturn:
        self._last = (number, self._clock())
        logging.disable()  # what libraries log of the failure that this is to them is no news
        raise Interrupted if number == signal.SIGINT else Stopped(number)


def dropped(unraisable: UnraisableHookArgs) -> None:
    """Python drops what is raised where nothing can catch it, as in a destructor, and prints it.

    A signal of ours is remembered instead, and stops the next step of the work.
    """
    if not isinstance(unraisable.exc_value, (Stopped, Interrupted)):
        sys.__unraisablehook__(unraisable)
