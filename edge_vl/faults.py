"""What ended a command, in words: exceptions become errors with a remedy, signals become exit codes."""

from __future__ import annotations

import errno
import signal
import traceback
from pathlib import Path
from types import FrameType
from typing import NoReturn

from edge_runtime.errors import EdgeVLError, MachineFault

DEBUG_VARIABLE = "EDGE_VL_DEBUG"
# What the system says about a path that was given, and not about the machine.
ABOUT_PATHS = {
    errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.ELOOP,
}  # fmt: skip


class Stopped(BaseException):
    """A signal asked the process to end. No Exception, so that nothing but cleaning up comes between."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    @property
    def exit_status(self) -> int:
        """What shells report for a program that this signal ended."""
        return 128 + self.number

    def words(self) -> str:
        how = (
            "interrupted"
            if self.number == signal.SIGINT
            else f"stopped by {signal.Signals(self.number).name}"
        )
        return f"{how}; nothing was left half-written"


def stop(number: int, _: FrameType | None) -> NoReturn:
    raise Stopped(number)


def unwind_on_signals() -> None:
    """SIGTERM and SIGHUP clean up as Ctrl-C does; what `nohup` ignores stays ignored."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, stop)


def error_from_fault(fault: BaseException) -> EdgeVLError:
    """The error that users see for it."""
    if isinstance(fault, EdgeVLError):
        return fault
    if is_memory_fault(fault):
        return out_of_memory()
    return system_error(fault) if isinstance(fault, OSError) else internal_error(fault)


def is_memory_fault(fault: BaseException) -> bool:
    is_refused = isinstance(fault, OSError) and fault.errno == errno.ENOMEM
    # torch says so in the words of its allocator.
    return is_refused or isinstance(fault, MemoryError) or "can't allocate memory" in str(fault)


def out_of_memory() -> MachineFault:
    return MachineFault(
        "EVL-MEMORY",
        "the machine has no memory left",
        "an allocation was refused",
        "close other programs, lower --max-context, or use a smaller precision",
    )


def system_error(fault: OSError) -> EdgeVLError:
    why = fault.strerror or str(fault) or type(fault).__name__
    if fault.filename is not None:
        why = f"{why}: {fault.filename}"
    if fault.errno in ABOUT_PATHS:
        return EdgeVLError(
            "EVL-FILE", "a file cannot be used", why, "check the path and its permissions, then run it again"
        )
    fix = f"check the machine's disk and limits; {DEBUG_VARIABLE}=1 shows where it happened"
    return MachineFault("EVL-SYSTEM", "the system refused what edge-vl asked for", why, fix)


def internal_error(fault: BaseException) -> MachineFault:
    place = ""
    if frames := traceback.extract_tb(fault.__traceback__):
        place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}"
    return MachineFault(
        "EVL-INTERNAL",
        "edge-vl failed by a fault of its own",
        f"{type(fault).__name__}{place}: {fault}",
        f"report these lines and your command; {DEBUG_VARIABLE}=1 shows the way there",
    )
