"""What one command takes of the machine, whosever it is."""

from __future__ import annotations

import resource
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_runtime.memory import MemoryWatch

LOOK_S = 1.0
HELD_LIMIT_MIB = 20 * 1024
TIME_LIMIT_S = 3600.0


@dataclass(frozen=True)
class Limits:
    """Beyond these a command is ended: it would take the machine with it, or the day."""

    held_mib: float = HELD_LIMIT_MIB
    seconds: float = TIME_LIMIT_S


@dataclass(frozen=True)
class ProcessCost:
    """`cpu_seconds` is the same on a busy machine, `seconds` is not. `fault` is empty where the command ended well."""

    seconds: float
    cpu_seconds: float
    peak_held_mib: float
    peak_resident_mib: float
    fault: str
    last_line: str


def process_cost(command: Sequence[str | Path], log: Path, limits: Limits | None = None) -> ProcessCost:
    """Runs the command and watches it and its children; what it says about itself goes to the file `log`."""
    limits = limits or Limits()
    before, start = cpu_seconds_of_children(), time.monotonic()
    with (
        log.open("ab") as errors,
        subprocess.Popen(
            [str(word) for word in command], stdout=subprocess.PIPE, stderr=errors, text=True
        ) as process,
        MemoryWatch(process.pid) as watch,
    ):
        said, excess = said_within(process, watch, limits)
    fault = excess
    if process.returncode and not excess:
        fault = f"status {process.returncode}: {last_line_of(log.read_text(errors='replace'))}"
    return ProcessCost(
        seconds=round(time.monotonic() - start, 2),
        cpu_seconds=round(cpu_seconds_of_children() - before, 2),
        peak_held_mib=round(watch.peak.held_mib, 1),
        peak_resident_mib=round(watch.peak.resident_mib, 1),
        fault=fault,
        last_line=last_line_of(said),
    )


def said_within(process: subprocess.Popen[str], watch: MemoryWatch, limits: Limits) -> tuple[str, str]:
    """What the process said, and which limit it went beyond, if it did."""
    said: list[str] = []
    reader = threading.Thread(target=lambda: said.append(process.communicate()[0]))
    start, excess = time.monotonic(), ""
    reader.start()
    while reader.is_alive() and not excess:
        reader.join(LOOK_S)
        if watch.peak.held_mib > limits.held_mib:
            excess = f"ended when it held more than {limits.held_mib / 1024:.0f} GiB"
        elif time.monotonic() - start > limits.seconds:
            excess = f"ended after {limits.seconds / 60:.0f} minutes"
    if excess:
        process.kill()
    reader.join()
    return said[0], excess


def cpu_seconds_of_children() -> float:
    """Of those that have ended and were waited for."""
    use = resource.getrusage(resource.RUSAGE_CHILDREN)
    return use.ru_utime + use.ru_stime


def last_line_of(text: str) -> str:
    return text.rstrip().rpartition("\n")[2]
