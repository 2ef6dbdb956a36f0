"""What went wrong, in words: every exception becomes an error with a remedy."""

from __future__ import annotations

import errno
import traceback
from pathlib import Path

from edge_runtime.errors import EdgeVLError, MachineFault

DEBUG_VARIABLE = "EDGE_VL_DEBUG"
# What the system says about a path that was given, and not about the machine.
ABOUT_PATHS = {
    errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.ELOOP,
}  # fmt: skip
# In the words of torch's allocator, of the loader of libraries, and of Python's threads.
NO_MEMORY = ("can't allocate memory", "failed to map segment", "can't start new thread")


def error_from_fault(fault: BaseException) -> EdgeVLError:
    """The error that users see for it."""
    if isinstance(fault, EdgeVLError):
        return fault
    if is_memory_fault(fault):
        return out_of_memory()
    return system_error(fault) if isinstance(fault, OSError) else internal_error(fault)


def is_memory_fault(fault: BaseException) -> bool:
    is_refused = isinstance(fault, OSError) and fault.errno == errno.ENOMEM
    return is_refused or isinstance(fault, MemoryError) or any(words in str(fault) for words in NO_MEMORY)


def out_of_memory() -> MachineFault:
    return MachineFault(
        "EVL-MEMORY",
        "the machine has no memory left",
        "an allocation was refused",
        "close other programs, use a smaller precision, or a shorter --max-context where there is one",
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
