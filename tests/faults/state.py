"""The two states an output may be in, and no third."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from edge_runtime.bundle import Bundle


def names_in(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def digest_of(folder: Path) -> str:
    """The same for the same files with the same bytes."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        digest.update(f"{path.relative_to(folder)}\0{path.is_dir()}\0".encode())
        if path.is_file():
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def assert_absent_or_whole(out: Path, model: Path) -> None:
    """What stands there, if anything does, is the bundle, to the last byte."""
    if os.path.lexists(out):
        Bundle.open(out)
        assert digest_of(out) == digest_of(model), f"{out} is neither the old state nor the new"


def assert_nothing_else(folder: Path, *wanted: str) -> None:
    assert names_in(folder) == sorted(wanted)
