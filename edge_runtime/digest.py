"""sha256 of many files at once, as fast as the cores and the disk allow."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from threading import Event

from edge_runtime.progress import Progress, silent

CHUNK_BYTES = 1 << 20  # stays in the cache between reading and hashing
THREAD_LIMIT = 4


def sha256_by_path(folder: Path, sizes: Mapping[str, int], progress: Progress = silent) -> dict[str, str]:
    """Hex digests of the files `sizes` names, relative to `folder`; `progress` hears bytes, in this thread."""
    total, done, running = sum(sizes.values()), 0, len(sizes)
    steps: SimpleQueue[int | None] = SimpleQueue()
    stop = Event()
    threads = min(THREAD_LIMIT, os.cpu_count() or 1)
    largest_first = sorted(sizes, key=lambda path: -sizes[path])
    with ThreadPoolExecutor(threads, "sha256") as pool:
        try:
            digests = {
                path: pool.submit(sha256_of_file, folder / path, steps.put, stop) for path in largest_first
            }
            while running:
                step = steps.get()
                running -= step is None
                done += step or 0
                progress("hash", done, total)
        finally:
            stop.set()  # after an interrupt nobody waits for the rest
        return {path: digests[path].result() for path in sizes}


def sha256_of_file(path: Path, step: Callable[[int | None], None], stop: Event) -> str:
    """The hex digest; `step` hears the bytes of each chunk, and None at the end, come what may."""
    digest = hashlib.sha256()
    try:
        buffer = memoryview(bytearray(CHUNK_BYTES))
        with path.open("rb", buffering=0) as file:
            while not stop.is_set() and (size := file.readinto(buffer)):
                digest.update(buffer[:size])
                step(size)
    finally:
        step(None)
    return digest.hexdigest()
