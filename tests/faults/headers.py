"""Forged headers of safetensors files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.faults.damage import replace_file

NAME = "language_model.model.norm.weight"
WEIGHTS = "model.safetensors"
Header = dict[str, Any]


def header_of(path: Path) -> tuple[Header, bytes]:
    """The header and the data behind it."""
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header: Header = json.loads(content[8 : 8 + length])
    return header, content[8 + length :]


def tensors_of(path: Path) -> Header:
    """The header without its notes."""
    return {name: entry for name, entry in header_of(path)[0].items() if name != "__metadata__"}


def forged(path: Path, header: str | bytes, data: bytes, length: int | None = None) -> None:
    """A file with this header, which may lie about its own length."""
    text = header if isinstance(header, bytes) else header.encode("utf-8", "surrogatepass")
    stated = len(text) if length is None else length
    replace_file(path, stated.to_bytes(8, "little") + text + data)
