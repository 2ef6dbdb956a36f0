"""Signals, heard by an event loop instead of raised as exceptions."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager


@contextmanager
def signals_heard(heard: Mapping[signal.Signals, Callable[[], object]]) -> Iterator[None]:
    """Whoever handled them before does so afterwards."""
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in heard}
    for number, call in heard.items():
        loop.add_signal_handler(number, call)
    try:
        yield
    finally:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)
