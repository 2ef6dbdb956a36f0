"""How much memory there is, and how much a process and its children really hold: pages that cannot be dropped."""

from __future__ import annotations

import os
import re
import threading
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

FIELD = re.compile(rb"^(RssAnon|RssShmem|VmRSS):\s+(\d+) kB$", re.MULTILINE)
MACHINE = re.compile(r"^(MemTotal|MemAvailable|CmaTotal):\s+(\d+) kB$", re.MULTILINE)
PEAK = re.compile(rb"^VmHWM:\s+(\d+) kB$", re.MULTILINE)
SAMPLE_SECONDS = 0.02


@dataclass(frozen=True)
class MemoryUse:
    """MiB. `held` is anonymous and shared memory; `resident` counts file-mapped pages too."""

    held_mib: float
    resident_mib: float


def memory_kb(proc: Path = Path("/proc")) -> dict[str, int]:
    """Of the machine, in the kernel's own words; `CmaTotal` is there where the kernel sets contiguous memory aside."""
    text = (proc / "meminfo").read_text(encoding="ascii")
    return {name: int(value) for name, value in MACHINE.findall(text)}


def memory_of_tree(pid: int, proc: Path = Path("/proc")) -> MemoryUse:
    """Of a process and all its children; what has just ended counts as nothing."""
    held = resident = 0
    for each in tree_of(pid, proc):
        fields = status_of(each, proc)
        held += fields.get(b"RssAnon", 0) + fields.get(b"RssShmem", 0)
        resident += fields.get(b"VmRSS", 0)
    return MemoryUse(held / 1024, resident / 1024)


def peak_resident_mib(proc: Path = Path("/proc")) -> float:
    """The most this process ever had resident. (`ru_maxrss` would carry over what its parent had.)"""
    peak_kib = PEAK.search(read(proc / "self" / "status"))
    assert peak_kib is not None, "the kernel tells every process its peak"
    return int(peak_kib[1]) / 1024


def tree_of(pid: int, proc: Path) -> list[int]:
    found, waiting = [pid], [pid]
    while waiting:
        children = children_of(waiting.pop(), proc)
        found += children
        waiting += children
    return found


def children_of(pid: int, proc: Path) -> list[int]:
    try:
        threads = os.listdir(proc / str(pid) / "task")
    except (FileNotFoundError, ProcessLookupError):
        return []  # it ended between two looks
    paths = [proc / str(pid) / "task" / thread / "children" for thread in threads]
    return [int(word) for path in paths for word in read(path).split()]


def status_of(pid: int, proc: Path) -> dict[bytes, int]:
    return {name: int(value) for name, value in FIELD.findall(read(proc / str(pid) / "status"))}


def read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""  # it ended between two looks


class MemoryWatch:
    """Samples a process tree in the background; `peak` holds the highest figures seen."""

    def __init__(self, pid: int | None = None, seconds: float = SAMPLE_SECONDS) -> None:
        self.pid = pid or os.getpid()
        self.seconds = seconds
        self.peak = MemoryUse(0.0, 0.0)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> MemoryWatch:
        self._look()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._look()

    def _sample(self) -> None:
        while not self._stop.wait(self.seconds):
            self._look()

    def _look(self) -> None:
        now = memory_of_tree(self.pid)
        self.peak = MemoryUse(
            max(self.peak.held_mib, now.held_mib), max(self.peak.resident_mib, now.resident_mib)
        )
