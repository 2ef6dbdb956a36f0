"""What TensorRT has timed once and need not time again: a file for one version, one kind of GPU and one driver."""

from __future__ import annotations

import hashlib
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_runtime.engines.place import Place
from edge_runtime.errors import one_line
from edge_runtime.publish import sync
from edge_runtime.record import bytes_from_json, json_from_record
from export.engines.log import BuildLog

DIGITS = 16  # of the digest, in names of files
SEAL_BYTES = 32  # of the sha256 before the library's own bytes
LIMIT = 256 << 20  # they take a few MiB


@dataclass(frozen=True)
class Timings:
    """`cache` is the library's, filled while it builds; `known` is what it began with."""

    path: Path
    cache: Any
    known: bytes


def timing_file(shelf: Path, place: Place) -> str | None:
    """None for TensorRT-RTX, which times nothing where it builds: its own calls for this do nothing."""
    if place.engine == "tensorrt-rtx":
        return None
    digest = hashlib.sha256(bytes_from_json(json_from_record(place))).hexdigest()
    return str(shelf / f".timing-{digest[:DIGITS]}.cache")


def attached_timings(config: Any, path: Path, log: BuildLog) -> Timings | None:
    """What the file holds is given to the build, or a new cache where it is of no use. None, and no error, where the
    library takes none: this is about minutes, never about whether there is an engine."""
    known, why = timings_in(path)
    cache = accepted(config, known, log) if known else None
    if why or (known and cache is None):
        log.warnings.append(f"{path.name} is of no use and begun anew: {why or 'the library refuses it'}")
    if cache is None:
        known, cache = b"", accepted(config, b"", log)
    if cache is None:
        log.warnings.append("the library takes no timing cache")
        return None
    # The library wants it alive until the engine is built, so it is kept here and not fetched from the config again.
    return Timings(path, cache, known)


def accepted(config: Any, data: bytes, log: BuildLog) -> Any | None:
    """The library may refuse by no cache, by "no", or by an empty cache; what it says of that is no fault of the build."""
    before = list(log.faults)
    cache = config.create_timing_cache(data)
    is_taken = cache is not None and config.set_timing_cache(cache, False)
    said = list(log.faults)[len(before) :]
    log.warnings.extend(one_line(f"of the timing cache: {words}") for words in said)
    log.faults.clear()
    log.faults.extend(before)
    return cache if is_taken else None


def keep_timings(timings: Timings, config: Any, stage: Path, log: BuildLog) -> None:
    """Written whole at `stage`, on the same disk, and moved to its place; what another build has left there meanwhile
    is taken along. Between two that end in one moment the last wins, and the other's are timed again some day."""
    there, _ = timings_in(timings.path)
    if there and there != timings.known:
        other = config.create_timing_cache(there)
        if other is not None:
            timings.cache.combine(other, False)
    data = timings.cache.serialize()
    if data is None:
        log.warnings.append("the library does not hand out its timing cache")
        return
    made = bytes(memoryview(data))
    if made == there:
        return
    try:
        replace_file(timings.path, stage, hashlib.sha256(made).digest() + made)
    except OSError as fault:
        log.warnings.append(f"{timings.path.name} cannot be written: {fault.strerror}")


def replace_file(path: Path, stage: Path, data: bytes) -> None:
    stage.write_bytes(data)
    sync(stage)
    stage.replace(path)


def timings_in(path: Path) -> tuple[bytes, str]:
    """The library's bytes as it wrote them, and why there are none; "" where there is no file."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # to open a pipe would be to wait for somebody who writes
            return b"", "it is not a regular file"
        with path.open("rb") as file:
            held = file.read(LIMIT)
    except FileNotFoundError:
        return b"", ""
    except OSError as fault:
        return b"", f"it cannot be read: {fault.strerror}"
    seal, data = held[:SEAL_BYTES], held[SEAL_BYTES:]
    return (data, "") if data and hashlib.sha256(data).digest() == seal else (b"", "it is damaged")
