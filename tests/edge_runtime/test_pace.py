"""The time that is left, and what must not spoil it."""

from __future__ import annotations

import itertools

import pytest

from edge_runtime.pace import MARKS, Pace


def test_steady_work_takes_as_long_as_it_took() -> None:
    pace = Pace(100.0, 0)
    for second in range(1, 21):
        pace.note(100.0 + second, 3 * second)
    assert pace.left_s(90) == pytest.approx(10)


def test_what_was_done_before_the_work_went_on_says_nothing() -> None:
    pace = Pace(0.0, 100)
    pace.note(10.0, 101)
    assert pace.left_s(128) == 270


def test_what_is_found_again_in_no_time_says_nothing() -> None:
    pace = Pace(0.0, 0)
    for done in range(101):
        pace.note(done / 200, done)
    pace.note(10.5, 101)
    assert pace.left_s(128) == pytest.approx(270, rel=0.01)


@pytest.mark.parametrize(
    ("now_s", "done"), [(0.9, 5), (5.0, 0), (5.0, 10), (5.0, 11)], ids=["soon", "still", "end", "past it"]
)
def test_nothing_is_told_where_nobody_can_know(now_s: float, done: int) -> None:
    pace = Pace(0.0, 0)
    pace.note(now_s, done)
    assert pace.left_s(10) is None


def test_work_that_begins_again_is_told_once_it_has_come_further() -> None:
    pace = Pace(0.0, 50)
    pace.note(2.0, 10)
    assert pace.left_s(100) is None
    for second in range(3, 9):
        pace.note(float(second), 10 * second - 10)
    assert pace.left_s(100) == pytest.approx(3)


def test_steps_that_take_long_are_not_counted_from_the_middle_of_one() -> None:
    pace = Pace(0.0, 0)
    for second in range(1, 10):
        pace.note(float(second), 0)
    pace.note(10.0, 1)
    assert pace.left_s(3) == 20


def test_long_work_is_remembered_in_little() -> None:
    pace = Pace(0.0, 0)
    for count in itertools.islice(itertools.count(1), 20_000):
        pace.note(count / 1000, count)
    assert len(pace._marks) < 2 * MARKS and pace.left_s(30_000) == pytest.approx(10, rel=0.01)
