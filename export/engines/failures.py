"""What ended a build's process, in words."""

from __future__ import annotations

import signal

from edge_runtime.child import signal_name
from edge_runtime.engines.library import Platform, this_platform
from edge_runtime.errors import MachineFault, one_line
from export.engines.log import is_about_device_memory, is_about_memory

OF_THE_HOST = "close other programs, add swap, or export with a lower --max-context"
OF_THE_GPU = (
    "close other programs, those that use the GPU first, quantise with `edge-vl calibrate`, or export with a lower "
    "--max-context"
)
# Neither swap nor shorter contexts help: what is refused is one piece, in proportion to the vocabulary.
OF_A_JETSON = (
    "a Jetson wants this memory in one piece, so swap does not help: add cma=950M to the APPEND line of "
    "/boot/extlinux/extlinux.conf and reboot, or make the pieces smaller with `edge-vl calibrate` (a decoder's largest "
    "is its head: --head int8)"
)
LAST_LINES = 3


def memory_error(role: str, why: str, reached_mib: float, place: Platform | None = None) -> MachineFault:
    """`why` tells whose memory it was, and `place` what helps there; without one it is this machine."""
    what = f"{role}: the machine has not enough memory to build this engine"
    fix = remedy_for_memory(why, place or this_platform())
    return MachineFault("EVL-BUILD-MEMORY", what, f"{why}; it had reached {reached_mib:.0f} MiB", fix)


def remedy_for_memory(why: str, place: Platform) -> str:
    if not is_about_device_memory(why):
        return OF_THE_HOST
    is_jetson = place.is_jetson or "NvMap" in why  # a container may hide the board, but not its allocator
    return OF_A_JETSON if is_jetson else OF_THE_GPU


def limit_error(role: str, limit_mib: int, reached_mib: float) -> MachineFault:
    what = f"{role}: this engine needs more memory to build than it was given"
    why = f"it held {reached_mib:.0f} MiB and may hold {limit_mib} MiB"
    return MachineFault(
        "EVL-BUILD-MEMORY", what, why, "raise the limit, or export with a lower --max-context"
    )


def error_from_death(role: str, status: int, stderr: str, reached_mib: float) -> MachineFault:
    """For a process that ended without an answer."""
    said = [line.strip() for line in stderr.splitlines() if line.strip()][-LAST_LINES:]
    last = said[-1] if said else ""
    if status == -signal.SIGKILL:
        return memory_error(role, "its process was killed, as Linux does when memory runs out", reached_mib)
    if is_about_memory("\n".join(said)) or last.startswith("MemoryError"):
        return memory_error(role, "; ".join(said), reached_mib)
    ending = f"ended by {signal_name(-status)}" if status < 0 else f"ended with status {status} and no answer"
    why = one_line(f"its process was {ending} at {reached_mib:.0f} MiB: {last or 'it said nothing'}")
    fix = "run it again; if it ends the same way, report these lines and build another dialect of this role"
    return MachineFault("EVL-BUILD-CRASH", f"{role}: the engine's builder crashed", why, fix)
