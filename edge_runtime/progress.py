"""How long work tells what it has done: a call with a label, how much, and of how much."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int], None]  # label, done, total; bytes unless the label says otherwise


def silent(label: str, done: int, total: int) -> None:
    """For callers that nobody watches."""
