"""A real terminal for a command: what a person sees, and what a person types, Ctrl-C included."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.edge_vl.command import WAIT_S, environment

# The terminal must be the controlling one for Ctrl-C to become a signal.
BOOT = (
    "import fcntl, os, sys, termios\n"
    "os.setsid()\n"
    "fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n"
    "os.execv(sys.executable, [sys.executable, '-m', 'edge_vl', *sys.argv[1:]])\n"
)


class Screen:
    """Everything the command wrote so far is `seen`."""

    def __init__(self, master: int, process: subprocess.Popen[bytes]) -> None:
        self._master = master
        self._place = 0
        self.process = process
        self.seen = ""

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def wait_for(self, text: str) -> str:
        """What came since the last wait, up to and including `text`."""
        end = time.monotonic() + WAIT_S
        while text not in self.seen[self._place :]:
            assert time.monotonic() < end, f"{text!r} did not come: {self.seen!r}"
            assert self._read(), f"ended before {text!r} came: {self.seen!r}"
        start, self._place = self._place, self.seen.index(text, self._place) + len(text)
        return self.seen[start : self._place]

    def wait_for_more(self) -> None:
        """Until anything at all comes after what was waited for."""
        while len(self.seen) == self._place:
            assert self._read(), f"ended without another word: {self.seen!r}"

    def wait_for_end(self) -> int:
        """The exit status, with all that was written read."""
        while self._read():
            pass
        return self.process.wait(WAIT_S)

    def _read(self) -> bool:
        assert select.select([self._master], [], [], WAIT_S)[0], f"silent since {self.seen!r}"
        try:
            data = os.read(self._master, 65536)
        except OSError:  # how Linux says that nobody holds the other end
            return False
        self.seen += data.decode("utf-8", "replace")
        return bool(data)


@contextmanager
def on_screen(*arguments: str | Path, columns: int = 80) -> Iterator[Screen]:
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    call = [sys.executable, "-c", BOOT, *map(str, arguments)]
    env = environment(TERM="xterm", PYTHONIOENCODING="utf-8")
    process = subprocess.Popen(call, stdin=slave, stdout=slave, stderr=slave, env=env, cwd="/")
    os.close(slave)
    try:
        yield Screen(master, process)
    finally:
        process.kill()
        process.wait()
        os.close(master)
