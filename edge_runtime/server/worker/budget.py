"""How many pixels may lie decoded at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Condition


class GivenUp(Exception):
    """Nobody wants any more what was waited for."""


class PixelBudget:
    """Shared by threads. A picture that alone needs more than the budget is let in when nobody else holds anything."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._held = 0
        self._changed = Condition()

    @property
    def held(self) -> int:
        return self._held

    @contextmanager
    def held_by(self, pixels: int, is_given_up: Callable[[], bool]) -> Iterator[None]:
        """Waits for room. Raises GivenUp where the asker gave up."""
        with self._changed:
            while self._held and self._held + pixels > self._most and not is_given_up():
                self._changed.wait(0.1)  # nobody tells of one who gives up
            if is_given_up():
                raise GivenUp
            self._held += pixels
        try:
            yield
        finally:
            with self._changed:
                self._held -= pixels
                self._changed.notify_all()
