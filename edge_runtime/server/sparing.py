"""Keeps whoever is refused again and again from filling the log."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from threading import Lock

from edge_runtime.server.json_line import fields_of

WARNINGS_PER_S = 10
LINES_PER_S = 100
KINDS = 256


class Sparing(logging.Filter):
    """Lets so many lines of a kind pass in a second; the next of its kind after that tells how many did not."""

    def __init__(
        self,
        warnings_per_s: int = WARNINGS_PER_S,
        lines_per_s: int = LINES_PER_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self._warnings_per_s = warnings_per_s
        self._lines_per_s = lines_per_s
        self._clock = clock
        self._lock = Lock()
        self._second = int(clock())
        self._passed: dict[str, int] = {}
        self._suppressed: dict[str, int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        with self._lock:
            return self._is_let_through(record)

    def _is_let_through(self, record: logging.LogRecord) -> bool:
        if (second := int(self._clock())) != self._second:
            self._second = second
            self._passed.clear()
        kind = self._kind(record)
        limit = self._warnings_per_s if record.levelno >= logging.WARNING else self._lines_per_s
        self._passed[kind] = passed = self._passed.get(kind, 0) + 1
        if passed > limit:
            self._suppressed[kind] = self._suppressed.get(kind, 0) + 1
            return False
        if missing := self._suppressed.pop(kind, 0):
            record.fields = {**fields_of(record), "suppressed": missing}
        return True

    def _kind(self, record: logging.LogRecord) -> str:
        """By the words before anything is filled in, and by the status of an answer."""
        kind = f"{record.name} {record.levelno} {record.msg} {fields_of(record).get('status', '')}"
        known = self._passed.keys() | self._suppressed.keys()
        return kind if kind in known or len(known) < KINDS else "other"
