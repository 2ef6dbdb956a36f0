"""Texts that somebody handed over, alone or as a list."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NoReturn

from edge_runtime.errors import listed


def texts_from_given(given: object, refuse: Callable[[str], NoReturn]) -> tuple[str, ...]:
    """Each once, in their order. A text alone is a sequence of one-letter texts, and never meant so. `refuse` hears why."""
    every: tuple[object, ...] = (given,)
    if isinstance(given, Iterable) and not isinstance(given, str | bytes):
        every = tuple(given)
    texts = tuple(each for each in every if isinstance(each, str))
    if len(texts) < len(every):
        strangers = listed(type(each).__name__ for each in every if not isinstance(each, str))
        refuse(f"got {strangers}, wanted texts")
    return tuple(dict.fromkeys(texts))
