"""Names of folders that every library can open."""

from __future__ import annotations

from pathlib import Path

from edge_runtime.errors import EdgeVLError


def refuse_odd_name(folder: Path, code: str) -> None:
    """Linux takes any bytes for a name; ONNX Runtime, TensorRT and JSON take text."""
    try:
        str(folder).encode()
    except UnicodeEncodeError:
        what, why = f"{folder} cannot be worked with", "its name, or that of a folder above it, is not UTF-8"
        raise EdgeVLError(code, what, why, "rename it") from None
