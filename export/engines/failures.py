"""What ended a build's process, in words."""

from __future__ import annotations

import signal

from edge_runtime.errors import MachineFault, one_line
from export.engines.log import is_about_memory

REMEDY = "close other programs, add swap, build fewer profiles, or lower --max-context"


def memory_error(role: str, why: str, reached_mib: float) -> MachineFault:
    what = f"{role}: the machine has not enough memory to build this engine"
    return MachineFault("EVL-BUILD-MEMORY", what, f"{why}; it had reached {reached_mib:.0f} MiB", REMEDY)


def limit_error(role: str, limit_mib: int, reached_mib: float) -> MachineFault:
    what = f"{role}: this engine needs more memory to build than it was given"
    why = f"it held {reached_mib:.0f} MiB and may hold {limit_mib} MiB"
    return MachineFault("EVL-BUILD-MEMORY", what, why, f"raise the limit, {REMEDY}")


def error_from_death(role: str, status: int, stderr: str, reached_mib: float) -> MachineFault:
    """For a process that ended without an answer."""
    last = next((line for line in reversed(stderr.splitlines()) if line.strip()), "")
    if status == -signal.SIGKILL:
        return memory_error(role, "its process was killed, as Linux does when memory runs out", reached_mib)
    if is_about_memory(stderr) or last.startswith("MemoryError"):
        return memory_error(role, last, reached_mib)
    ending = f"ended by {signal_name(-status)}" if status < 0 else f"ended with status {status} and no answer"
    why = one_line(f"its process was {ending} at {reached_mib:.0f} MiB: {last or 'it said nothing'}")
    fix = "run it again; if it ends the same way, report these lines and build another dialect of this role"
    return MachineFault("EVL-BUILD-CRASH", f"{role}: the engine's builder crashed", why, fix)


def signal_name(number: int) -> str:
    names = {each.value: each.name for each in signal.Signals}
    return names.get(number, f"signal {number}")
