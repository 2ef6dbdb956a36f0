"""A signal that asks for the end: remembered, and passed on to the child that works at the moment."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

GRACE_S = 30.0  # to clean up, before a child is killed
NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stop:
    """Nothing is raised: what was found out until then is still to be written down."""

    def __init__(self, grace_s: float = GRACE_S) -> None:
        self.number: int | None = None
        self._grace_s = grace_s
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def words(self) -> str:
        return "" if self.number is None else signal.Signals(self.number).name

    def listen(self) -> None:
        """From now on. What `nohup` ignores stays ignored."""
        for number in NUMBERS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._came)

    @contextmanager
    def passed_to(self, child: subprocess.Popen[bytes]) -> Iterator[None]:
        """While the body waits for it. The child leads a process group: with it goes whatever it leaves behind."""
        self._child = child
        if self.number is not None:  # it came while the child was started
            self._pass_on(child, self.number)
        try:
            yield
        finally:
            self._child = None
            end_group(child.pid)

    def _came(self, number: int, _: FrameType | None) -> None:
        is_second, self.number = self.number is not None, number
        if self._child is not None and is_second:
            end_group(self._child.pid)
        elif self._child is not None:
            self._pass_on(self._child, number)

    def _pass_on(self, child: subprocess.Popen[bytes], number: int) -> None:
        child.send_signal(number)
        killer = threading.Timer(self._grace_s, self._kill, (child,))
        killer.daemon = True
        killer.start()

    def _kill(self, child: subprocess.Popen[bytes]) -> None:
        if self._child is child:
            end_group(child.pid)


def end_group(leader: int) -> None:
    try:
        os.killpg(leader, signal.SIGKILL)
    except ProcessLookupError:
        return  # nothing of it is left
