"""Verbs that need torch say so where it is missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from edge_runtime.errors import EdgeVLError


@contextmanager
def workbench(verb: str) -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        raise EdgeVLError(
            "EVL-WORKBENCH-MISSING",
            f"`edge-vl {verb}` needs the workbench",
            f"{error.name} is not installed here",
            "pip install 'edge-vl[cpu,export]' on a machine with Python 3.11 or newer",
        ) from error
