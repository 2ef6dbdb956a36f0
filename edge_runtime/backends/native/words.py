"""What TensorRT says of its faults: it answers None or False, and the reason is in its log."""

from __future__ import annotations

from collections import deque
from functools import cache
from typing import Any

FAULTS = ("ERROR", "INTERNAL_ERROR")
KEPT = 20


class Words:
    """Of errors alone, since they were last taken."""

    def __init__(self) -> None:
        self._heard: deque[str] = deque(maxlen=KEPT)

    def hear(self, severity: str, text: str) -> None:
        if severity in FAULTS:
            self._heard.append(text)

    def taken(self) -> str:
        """The first one is the cause; those after it say where it was felt."""
        first = self._heard[0] if self._heard else ""
        self._heard.clear()
        return first


@cache  # the library keeps the first logger that a process gives it, and hears of no other
def logger_of(module: Any) -> Any:
    """The library's own kind of logger; `words` hears what it is told."""

    class Logger(module.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            module.ILogger.__init__(self)
            self.words = Words()

        def log(self, severity: Any, message: str) -> None:
            self.words.hear(str(severity.name), message)

    return Logger()
