"""Kernels that TensorRT-RTX compiles when an engine first runs, kept beside its plan for the next time."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from edge_runtime.errors import EdgeVLError
from edge_runtime.replacing import replaced_file

SUFFIX = ".kernels"
SEAL_BYTES = 32
LIMIT = 1 << 30


class Kernels:
    """Of one engine. What lies there and is not as it was written, or was compiled for another driver or GPU, counts for
    nothing: the library compiles anew."""

    def __init__(self, cache: Any, plan: Path) -> None:
        self.cache = cache
        self._path = plan.with_name(plan.name + SUFFIX)
        self._known = kept_in(self._path)
        if self._known and not self.cache.deserialize(self._known):
            self._known = b""

    def keep(self) -> None:
        """What was compiled since. A folder that cannot be written to keeps nothing, and neither does a broken GPU."""
        try:
            compiled = self.cache.serialize()
        except RuntimeError:
            return
        data = b"" if compiled is None else bytes(memoryview(compiled))
        if not data or data == self._known:
            return
        try:
            with replaced_file(self._path) as stage:
                stage.write_bytes(hashlib.sha256(data).digest() + data)
        except (EdgeVLError, OSError):
            return
        self._known = data


def kernels_of(engine: Any, plan: Path) -> Kernels | None:
    """None of TensorRT's own, which compiles everything when it builds."""
    if not hasattr(engine, "create_runtime_config"):
        return None
    settings = engine.create_runtime_config()
    make = getattr(settings, "create_runtime_cache", None)
    return None if make is None else Kernels(make(), plan)


def kept_in(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            held = file.read(LIMIT)
    except OSError:
        return b""
    seal, data = held[:SEAL_BYTES], held[SEAL_BYTES:]
    return data if hashlib.sha256(data).digest() == seal else b""
