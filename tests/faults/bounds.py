"""How long something may take, and how much memory."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

RESET = Path("/proc/self/clear_refs")
STATUS = Path("/proc/self/status")
RESET_PEAK = "5"


@contextmanager
def bounded(seconds: float, mib: int) -> Iterator[None]:
    """Fails where the body takes more of a processor's time, or grows the process by more, than it may."""
    # Not the clock's time: other work on the machine would count too.
    before_mib, start = reset_peak_mib(), time.process_time()
    yield
    spent_s, grown_mib = time.process_time() - start, peak_mib() - before_mib
    assert spent_s < seconds, f"took {spent_s:.1f} s, allowed are {seconds} s"
    assert grown_mib < mib, f"took {grown_mib} MiB, allowed are {mib} MiB"


def reset_peak_mib() -> int:
    """The memory taken now, from where the peak is counted again; 0 where the system does not tell."""
    if RESET.exists():
        RESET.write_text(RESET_PEAK, encoding="ascii")
    return peak_mib()


def peak_mib() -> int:
    if not STATUS.exists():
        return 0
    lines = STATUS.read_text(encoding="ascii").splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmHWM"))) >> 10
