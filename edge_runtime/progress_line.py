"""The line that shows how far long work has come, on whatever stream it is given."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from edge_runtime.bar import bar_line, plain_line
from edge_runtime.pace import Pace

REDRAW_S, PLAIN_S = 0.1, 10.0  # between lines, where somebody watches and where nobody does
USUAL_COLUMNS = 80
ERASE_LINE = "\r\x1b[K"


@contextmanager
def spared() -> Iterator[None]:
    """What cannot be shown, on a full disk or a terminal that went away, ends no work; a reader who left does."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError:
        pass


class ProgressLine:
    """Called as a `Progress`: a bar that is drawn over on a terminal; elsewhere a line now and then."""

    def __init__(self, err: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._err = err
        self._clock = clock
        self._is_live = err.isatty() and os.environ.get("TERM") != "dumb"
        self._has_blocks = is_unicode(err)
        self._label = ""
        self._drawn = clock()
        self._pace = Pace(self._drawn, 0)
        self._is_open = False

    def __call__(self, label: str, done: int, total: int) -> None:
        now, is_new = self._clock(), label != self._label
        if is_new:
            self._label, self._pace = label, Pace(now, done)
        self._pace.note(now, done)
        is_edge = self._is_live and (is_new or done >= total)
        if now - self._drawn < (REDRAW_S if self._is_live else PLAIN_S) and not is_edge:
            return
        self._drawn = now
        self._draw(label, done, total)

    def _draw(self, label: str, done: int, total: int) -> None:
        left_s = self._pace.left_s(total)
        if self._is_live:
            bar = bar_line(label, done, total, left_s, columns_of(self._err), self._has_blocks)
            line, self._is_open = f"{ERASE_LINE}{bar}", True
        else:
            line = f"{plain_line(label, done, total, left_s)}\n"
        with spared():
            self._err.write(line)
            self._err.flush()

    def clear(self) -> None:
        """Before anything else is written to the same terminal."""
        if self._is_open:
            self._is_open = False
            with spared():
                self._err.write(ERASE_LINE)
                self._err.flush()


def is_unicode(stream: TextIO) -> bool:
    return (stream.encoding or "utf-8").lower().startswith("utf")


def columns_of(stream: TextIO) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns or USUAL_COLUMNS
    except OSError:  # a terminal that does not know its size
        return USUAL_COLUMNS
