"""What the engine library says while it builds: the few lines that are needed."""

from __future__ import annotations

import re
from collections import deque
from typing import Any

from edge_runtime.errors import one_line

KEPT = 50  # a network of thousands of nodes may repeat one warning thousands of times
FAULTS = ("ERROR", "INTERNAL_ERROR")
FIGURE = re.compile(r"Total (Activation|Weights) Memory: (\d+) bytes")
# Said besides every other error where there is no driver, and never the cause: building needs none.
NO_DRIVER = "CUDA driver version is insufficient"
NO_MEMORY = (
    "OutOfMemory", "out of memory", "bad_alloc", "could not be allocated", "Cannot allocate memory",
    "cannot allocate memory", "Failed to map file to memory",
)  # fmt: skip


class BuildLog:
    """Errors, warnings and the memory figures of one build, in their order."""

    def __init__(self) -> None:
        self.faults: deque[str] = deque(maxlen=KEPT)
        self.warnings: deque[str] = deque(maxlen=KEPT)
        self.activation_bytes: list[int] = []
        self.weight_bytes: int | None = None

    def hear(self, severity: str, text: str) -> None:
        if severity in FAULTS:
            self.faults.append(text)
        elif severity == "WARNING":
            self.warnings.append(one_line(text))
        elif figure := FIGURE.search(text):
            if figure[1] == "Activation":
                self.activation_bytes.append(int(figure[2]))
            else:
                self.weight_bytes = int(figure[2])

    def last_words(self) -> str:
        """The last three errors, without what is said on every machine that has no driver."""
        told = [words for fault in self.faults if (words := without_driver_noise(fault))]
        return "; ".join(told[-3:])

    def is_about_memory(self) -> bool:
        """Errors alone: a warning about memory may be of a kernel that was not chosen, on the way to a good build."""
        return is_about_memory("\n".join(self.faults))


def is_about_memory(text: str) -> bool:
    return any(words in text for words in NO_MEMORY)


def without_driver_noise(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if NO_DRIVER not in line)


def logger_for(log: BuildLog, module: Any) -> Any:
    """The library's own kind of logger. Only the first one of a process is used: one process, one build."""

    class Logger(module.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            module.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            log.hear(str(severity.name), message)

    return Logger()
