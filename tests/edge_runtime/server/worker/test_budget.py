"""How many pixels lie decoded at a time."""

from __future__ import annotations

from threading import Event, Thread

import pytest

from edge_runtime.server.worker.budget import GivenUp, PixelBudget


def never() -> bool:
    return False


class Apart:
    """Somebody in a thread of their own who holds pixels until they are told to stop."""

    def __init__(self, budget: PixelBudget, pixels: int) -> None:
        self.given_up, self.is_in, self.done = Event(), Event(), Event()
        self.has_given_up = False
        self._budget, self._pixels = budget, pixels
        self._thread = Thread(target=self._hold)
        self._thread.start()

    def _hold(self) -> None:
        try:
            with self._budget.held_by(self._pixels, self.given_up.is_set):
                self.is_in.set()
                self.done.wait(20)
        except GivenUp:
            self.has_given_up = True

    def join(self) -> None:
        self.done.set()
        self._thread.join(20)


def test_what_fits_is_let_in() -> None:
    budget = PixelBudget(10)
    with budget.held_by(4, never), budget.held_by(6, never):
        assert budget.held == 10
    assert budget.held == 0


def test_what_is_larger_than_all_is_let_in_alone() -> None:
    budget = PixelBudget(10)
    with budget.held_by(50, never):
        assert budget.held == 50


def test_what_does_not_fit_waits_until_there_is_room() -> None:
    budget = PixelBudget(10)
    with budget.held_by(8, never):
        other = Apart(budget, 3)
        assert not other.is_in.wait(0.05)
    assert other.is_in.wait(20)
    other.join()
    assert budget.held == 0


def test_who_gives_up_waiting_holds_nothing() -> None:
    budget = PixelBudget(10)
    with budget.held_by(8, never):
        other = Apart(budget, 3)
        other.given_up.set()
        other.join()
        assert (other.has_given_up, budget.held) == (True, 8)


def test_what_goes_wrong_meanwhile_gives_the_room_back() -> None:
    budget = PixelBudget(10)
    with pytest.raises(KeyError), budget.held_by(8, never):
        raise KeyError
    assert budget.held == 0
