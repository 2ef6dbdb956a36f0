"""A process that gives back what it does not need: many threads that each open a large body once would keep as much for ever."""

from __future__ import annotations

import ctypes

ARENAS, LARGE_BYTES = 2, 1 << 18
M_MMAP_THRESHOLD, M_ARENA_MAX = -3, -8  # glibc's own numbers


def be_thrifty() -> None:
    """From now on, where the C library is glibc; others have no such habit."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_ARENA_MAX, ARENAS)
        mallopt(M_MMAP_THRESHOLD, LARGE_BYTES)
