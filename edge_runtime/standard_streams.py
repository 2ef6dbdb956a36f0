"""Standard streams that the caller closed, and those that nobody reads any more."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TextIO


def fill_gaps() -> None:
    """The numbers of streams that the caller closed lead nowhere, for our children too: what is opened next, be it a socket
    that matters, would have them, and take or lose what is meant for a stream."""
    for number in range(3):
        if not is_open(number):  # it is then the lowest that is free, which is the one to be had
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)


def is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def nowhere() -> TextIO:
    """Stands in for a stream that the caller closed before we began."""
    return Path(os.devnull).open("w", encoding="utf-8")


def let_go(stream: TextIO) -> None:
    """Python flushes once more while it ends, and would complain where nobody reads."""
    try:
        stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
