"""How many pixels lie decoded at a time."""

from __future__ import annotations

from threading import Event, Thread

from edge_runtime.server.worker.budget import PixelBudget


def never() -> bool:
    return False


def taken_apart(budget: PixelBudget, pixels: int, given_up: Event) -> tuple[Thread, list[bool]]:
    results: list[bool] = []
    thread = Thread(target=lambda: results.append(budget.take(pixels, given_up.is_set)))
    thread.start()
    return thread, results


def test_what_fits_is_let_in() -> None:
    budget = PixelBudget(10)
    assert [budget.take(4, never), budget.take(6, never), budget.held] == [True, True, 10]


def test_what_is_larger_than_all_is_let_in_alone() -> None:
    budget = PixelBudget(10)
    assert budget.take(50, never)
    assert budget.held == 50


def test_what_does_not_fit_waits_until_something_is_given_back() -> None:
    budget = PixelBudget(10)
    budget.take(8, never)
    thread, results = taken_apart(budget, 3, Event())
    thread.join(0.05)
    assert results == []
    budget.give_back(8)
    thread.join(10)
    assert (results, budget.held) == ([True], 3)


def test_who_gives_up_waiting_holds_nothing() -> None:
    budget, given_up = PixelBudget(10), Event()
    budget.take(8, never)
    thread, results = taken_apart(budget, 3, given_up)
    given_up.set()
    thread.join(10)
    assert (results, budget.held) == ([False], 8)
