"""Small disks and sealed ones, where the machine lets us mount them."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PAGE_BYTES = 4096


@contextmanager
def small_disk(folder: Path, pages: int) -> Iterator[Path]:
    """An empty disk of so many pages; the test is skipped where mounting is not permitted."""
    folder.mkdir(exist_ok=True)
    mount("-t", "tmpfs", "-o", f"size={pages * PAGE_BYTES}", "none", str(folder))
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def seal(folder: Path) -> None:
    """From here on it can be read only."""
    mount("-o", "remount,ro", str(folder))


def mount(*arguments: str) -> None:
    try:
        done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount command here")
    if done.returncode:
        pytest.skip(f"mounting is refused here: {done.stderr.strip()}")


def pages_of(path: Path) -> int:
    return -(-path.stat().st_size // PAGE_BYTES)
