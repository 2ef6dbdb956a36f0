"""Records with their own hash beside them: what was damaged on a disk is told from what was written."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from edge_runtime.bundle import digest_of
from edge_runtime.errors import EdgeVLError
from edge_runtime.record import json_from_bytes, record_from_json

T = TypeVar("T")
SEAL = "receipt_sha256"  # besides the record


def sealed(value: Mapping[str, object]) -> dict[str, object]:
    return {**value, SEAL: digest_of(dict(value))}


def unsealed(kind: type[T], path: Path, limit: int, code: str) -> T:
    """The record. The code where it is not as it was written; FileNotFoundError where there is none."""
    if not stat.S_ISREG(path.stat().st_mode):  # to open a pipe would be to wait for somebody who writes
        raise damaged_error(path.name, code, "it is not a regular file")
    with path.open("rb") as file:
        value = json_from_bytes(file.read(limit), path.name, code)
    said = value.pop(SEAL, None) if isinstance(value, dict) else None
    record = record_from_json(kind, value, path.name, code)
    if said != (found := digest_of(value)):
        raise damaged_error(path.name, code, f"its sha256 is {found[:16]}…, its seal says {said!r:.18}…")
    return record


def damaged_error(name: str, code: str, why: str) -> EdgeVLError:
    return EdgeVLError(code, f"{name} is damaged", why, "build the engine again")
