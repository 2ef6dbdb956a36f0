"""What the engine library says while it builds: the few lines that are needed."""

from __future__ import annotations

import re
from collections import deque
from typing import Any

from edge_runtime.engines.place import EngineName
from edge_runtime.errors import one_line

KEPT = 50  # a network of thousands of nodes may repeat one warning thousands of times
FAULTS = ("ERROR", "INTERNAL_ERROR")
FIGURE = re.compile(r"Total (Activation|Weights) Memory: (\d+) bytes")
# Said besides every other error where there is no driver, and never the cause: this engine is built without one.
NOISE: dict[EngineName, str] = {"tensorrt-rtx": "CUDA driver version is insufficient"}
# Of the device: on a Jetson, what must lie in one piece. NvMap is its driver's allocator and writes to stderr.
NO_DEVICE_MEMORY = (
    "NvMapMem", "CUDA error 2 for", "Cuda Runtime (out of memory)", "amount of GPU memory", "Requested size was",
    "User allocator error allocating", "initialization failure with error: 2.",
)  # fmt: skip
NO_MEMORY = (
    *NO_DEVICE_MEMORY, "OutOfMemory", "out of memory", "bad_alloc", "could not be allocated",
    "Cannot allocate memory", "cannot allocate memory", "Failed to map file to memory",
)  # fmt: skip
# Said after the cause, whatever it was: one kernel is given up, or none is left.
AFTER_THE_CAUSE = ("Skipping tactic", "Could not find any implementation for node")
LAST = 3


class BuildLog:
    """Errors, warnings and the memory figures of one build, in their order, but for lines that are `noise`."""

    def __init__(self, noise: str | None = None) -> None:
        self.noise = noise
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
        """The last three errors."""
        return "; ".join(self.told()[-LAST:])

    def complaint(self) -> str:
        """The last three errors, or warnings where there is no error."""
        return self.last_words() or "; ".join(list(self.warnings)[-LAST:])

    def is_about_memory(self) -> bool:
        """By what ended the build. A kernel that found no memory may be passed over on the way to a good build, or to
        another failure; and a warning of memory is of such a kernel."""
        causes = [words for words in self.told() if not has_any(AFTER_THE_CAUSE, words)]
        return bool(causes) and is_about_memory(causes[-1])

    def told(self) -> list[str]:
        return [words for fault in self.faults if (words := self.without_noise(fault))]

    def without_noise(self, text: str) -> str:
        return "\n".join(line for line in text.splitlines() if self.noise is None or self.noise not in line)


def is_about_memory(text: str) -> bool:
    return has_any(NO_MEMORY, text)


def is_about_device_memory(text: str) -> bool:
    """Of the GPU. Off a Jetson some of these words are also said of the host's."""
    return has_any(NO_DEVICE_MEMORY, text)


def has_any(phrases: tuple[str, ...], text: str) -> bool:
    return any(phrase in text for phrase in phrases)


def logger_for(log: BuildLog, module: Any) -> Any:
    """The library's own kind of logger. Only the first one of a process is used: one process, one build."""

    class Logger(module.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            module.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            log.hear(str(severity.name), message)

    return Logger()
