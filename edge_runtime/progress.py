"""How long work tells what it has done: a call with a label, how much, and of how much."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int], None]  # label, done, total: bytes or steps, as the label says
BYTES = ("building", "hash", "hashing", "tracing", "writing")  # the first words of labels that count bytes


def is_in_bytes(label: str) -> bool:
    """Never told by the size of a total: there are small files, and thousands of steps."""
    return label.partition(" ")[0] in BYTES


def silent(label: str, done: int, total: int) -> None:
    """For callers that nobody watches."""
