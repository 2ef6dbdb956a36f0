"""Guesses come from what was written, and are made where they are likely to be right."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.draft import Drafter, DraftRules, drafts_for, following
from edge_runtime.sampling import Ids

RULES = DraftRules(most=8, longest=4, shortest=2, rest=4)
NEVER = {90, 91}


def ids(*found: int) -> Ids:
    return np.array(found, dtype=np.int64)


def guessed(seen: Ids, rules: DraftRules = RULES, room: int = 100) -> list[int]:
    """By a drafter whose guesses were all right so far."""
    drafter = Drafter(rules, NEVER)
    for _ in range(4):
        drafter.learn(1, 1)
    return drafter.guess(seen, room)


def test_what_followed_the_same_words_is_guessed_to_follow_again() -> None:
    assert following(ids(1, 2, 3, 4, 5, 9, 9, 1, 2), RULES, 3).tolist() == [3, 4, 5]


def test_of_several_places_the_last_with_the_longest_match_is_taken() -> None:
    seen = ids(1, 2, 3, 50, 7, 2, 3, 60, 1, 2, 3, 70, 8, 2, 3, 80, 1, 2, 3)
    assert following(seen, RULES, 1).tolist() == [70]


def test_a_repeat_that_reaches_into_the_end_goes_on_as_it_began() -> None:
    assert following(ids(5, 6, 7, 6, 7), RULES, 5).tolist() == [6, 7, 6, 7, 6]


@pytest.mark.parametrize("seen", [(), (1,), (1, 2), (1, 2, 3, 4), (1, 5, 2, 5)])
def test_where_nothing_was_said_twice_nothing_is_guessed(seen: tuple[int, ...]) -> None:
    assert following(ids(*seen), RULES, 8).size == 0


@given(
    seen=st.lists(st.integers(0, 3), min_size=1, max_size=60),
    steps=st.lists(st.integers(1, 5), min_size=1, max_size=20),
    shortest=st.integers(1, 4),
)
def test_a_text_that_grows_is_guessed_from_as_one_that_is_whole(
    seen: list[int], steps: list[int], shortest: int
) -> None:
    rules = DraftRules(most=2, longest=6, shortest=shortest)
    grown, end = Drafter(rules, NEVER), 0
    for step in steps:
        end = min(end + step, len(seen))
        part = ids(*seen[:end])
        assert grown.guess(part, 2) == following(part, rules, 2).tolist()


def test_a_guess_ends_before_a_picture_and_before_an_end_token() -> None:
    assert guessed(ids(1, 2, 3, 90, 90, 4, 1, 2)) == [3]
    assert guessed(ids(1, 2, 91, 4, 1, 2)) == []


def test_no_more_is_guessed_than_may_be_said() -> None:
    seen = ids(1, 2, 3, 4, 5, 6, 1, 2)
    assert [guessed(seen, room=room) for room in (0, 1, 3)] == [[], [3], [3, 4, 5]]


def test_more_is_guessed_after_right_guesses_and_at_most_as_many_as_the_rules_say() -> None:
    drafter, seen = Drafter(RULES, NEVER), ids(1, 2, 3, 4, 5, 6, 7, 8, 1, 2)
    found = []
    for _ in range(5):
        found.append(len(drafter.guess(seen, 100)))
        drafter.learn(found[-1], found[-1])
    assert found == [2, 4, 8, 8, 8]


def test_after_wrong_guesses_it_rests_longer_and_longer_up_to_a_bound() -> None:
    drafter, seen, made = Drafter(RULES, NEVER), ids(1, 2, 3, 1, 2), []
    for step in range(22):
        if found := drafter.guess(seen, 100):
            made.append(step)
            drafter.learn(len(found), 0)
    assert made == [0, 2, 5, 10, 15, 20]


def test_one_right_guess_ends_the_rest() -> None:
    drafter, seen = Drafter(RULES, NEVER), ids(1, 2, 3, 1, 2)
    for _ in range(3):
        while not drafter.guess(seen, 100):
            pass
        drafter.learn(1, 0)
    while not drafter.guess(seen, 100):
        pass
    drafter.learn(1, 1)
    assert drafter.guess(seen, 100)


@pytest.mark.parametrize("wrong", [{"most": 0}, {"shortest": 0}, {"shortest": 9, "longest": 8}, {"rest": -1}])
def test_rules_that_guess_nothing_are_no_rules(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="nothing can be guessed"):
        DraftRules(**wrong)


def test_guesses_are_made_where_they_were_measured_to_pay() -> None:
    assert drafts_for("onnxruntime") == DraftRules()
    assert drafts_for("tensorrt") is None
