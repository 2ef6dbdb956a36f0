"""Which software calibrates: a part of what decides what is found."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

import numpy as np
import onnx_ir as ir

from edge_runtime.backends.ort import imported_onnxruntime
from edge_runtime.version import VERSION

OWN = Path(__file__).parent


def versions() -> list[str]:
    """Of all that measures and rounds; of this package its sources, which change more often than its version."""
    return [
        VERSION,
        imported_onnxruntime().__version__,
        np.__version__,
        ir.__version__,
        digest_of_sources(OWN),
    ]


@cache
def digest_of_sources(folder: Path) -> str:
    """Of the names and bytes of a package's files; read once in a process, as the package itself is."""
    found = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        content = path.read_bytes()
        found.update(f"{path.relative_to(folder).as_posix()} {len(content)} ".encode() + content)
    return found.hexdigest()
