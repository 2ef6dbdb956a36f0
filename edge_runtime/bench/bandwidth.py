"""How fast this machine reads memory: the ceiling of every decoder that streams its weights."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from edge_runtime.bench.machine import core_count
from edge_runtime.memory import memory_kb

BLOCK_BYTES = 512 << 20  # larger than any cache
AVAILABLE_SHARE = 8  # never more than this part of what is free
PASSES = 20


def read_speeds_gb_per_s(
    block_bytes: int | None = None,
    passes: int = PASSES,
    threads: int | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> list[float]:
    """10^9 bytes a second of each pass, in which all cores together read a block once; the best is the ceiling."""
    cores = threads or core_count()
    block = np.ones((block_bytes or block_bytes_here()) // 8, dtype=np.uint64)
    parts = np.array_split(block, cores)
    speeds: list[float] = []
    with ThreadPoolExecutor(cores, "bandwidth") as pool:
        list(pool.map(read_whole, parts))  # the threads exist, the pages are there
        for _ in range(passes):
            start = clock()
            list(pool.map(read_whole, parts))
            speeds.append(block.nbytes / (clock() - start) / 1e9)
    return speeds


def block_bytes_here() -> int:
    return min(BLOCK_BYTES, (memory_kb()["MemAvailable"] << 10) // AVAILABLE_SHARE)


def read_whole(part: npt.NDArray[np.uint64]) -> int:
    # Of numpy's reductions the one that waits for memory and not for arithmetic: 26 GB/s on two cores
    # where float sums end at 17. It runs without the interpreter's lock.
    return int(np.bitwise_or.reduce(part))
