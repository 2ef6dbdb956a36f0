"""How many pixels may lie decoded at a time: questions that wait keep their pictures as files."""

from __future__ import annotations

from collections.abc import Callable
from threading import Condition


class PixelBudget:
    """Shared by threads. A question that alone needs more than the budget is let in when nobody else holds anything."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._held = 0
        self._changed = Condition()

    @property
    def held(self) -> int:
        return self._held

    def take(self, pixels: int, is_given_up: Callable[[], bool]) -> bool:
        """Waits for room; False where the asker gave up meanwhile, who then holds nothing."""
        with self._changed:
            while self._held and self._held + pixels > self._most:
                if is_given_up():
                    return False
                self._changed.wait(0.1)  # nobody tells of one who gives up
            self._held += pixels
            return True

    def give_back(self, pixels: int) -> None:
        with self._changed:
            self._held -= pixels
            self._changed.notify_all()
