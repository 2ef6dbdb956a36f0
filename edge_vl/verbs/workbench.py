"""Verbs that need more than a device has say so where it is missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from edge_runtime.errors import EdgeVLError


@contextmanager
def workbench(verb: str, extra: str = "export") -> Iterator[None]:
    """`extra` is what of ours brings all that it needs."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise EdgeVLError(
            "EVL-WORKBENCH-MISSING",
            f"`edge-vl {verb}` needs the workbench",
            f"{error.name} is not installed here",
            f"pip install 'edge-vl[cpu,{extra}]' on a machine with Python 3.11 or newer",
        ) from error
