"""Which row a conversation gets: one that holds what it begins with, and none that others may come back to for a few words."""

from __future__ import annotations

import numpy as np
import pytest

from edge_runtime.loop.rows import Rows, worth
from tests.edge_runtime.fake_backend import CONTEXT, ScriptedDecoder

SYSTEM = tuple(range(40))


class Several(ScriptedDecoder):
    """Rows that are scripted by themselves."""

    def row(self, row: int) -> ScriptedDecoder:
        assert row < self.batch
        return ScriptedDecoder(self.script, self.capacity)


@pytest.fixture
def rows() -> Rows:
    return Rows(Several([5] * CONTEXT, CONTEXT, batch=3), np.zeros((8, 4), np.float32))


def answered(rows: Rows, keys: tuple[int, ...]) -> tuple[int, int]:
    """The row of a conversation, and how much of it was there; afterwards it holds it."""
    row = rows.take(keys)
    held = rows.sequences[row].keys
    found = next(
        (place for place, (a, b) in enumerate(zip(held, keys, strict=False)) if a != b),
        min(len(held), len(keys)),
    )
    held[:] = keys
    rows.give_back(row)
    return row, found


def conversation(number: int, turns: int) -> tuple[int, ...]:
    return (*SYSTEM, *(1000 * number + place for place in range(300 * turns)))


def test_conversations_in_turns_keep_what_they_hold(rows: Rows) -> None:
    found = [answered(rows, conversation(number, turn)) for turn in (1, 2, 3) for number in (1, 2, 3)]
    assert sorted(row for row, _ in found[:3]) == [0, 1, 2]
    for turn in (1, 2):
        for number in range(3):
            row, known = found[3 * turn + number]
            assert row == found[number][0]
            assert known == len(SYSTEM) + 300 * turn


def test_where_nothing_is_worth_keeping_the_row_left_longest_ago_is_taken(rows: Rows) -> None:
    taken = [answered(rows, conversation(number, 1))[0] for number in range(1, 8)]
    assert taken == [0, 1, 2, 0, 1, 2, 0]


def test_another_question_about_a_picture_finds_it_behind_a_long_answer(rows: Rows) -> None:
    picture = tuple(range(5000, 5576))
    first, _ = answered(rows, (*SYSTEM, *picture, *range(9000, 9900)))
    again, found = answered(rows, (*SYSTEM, *picture, 1, 2, 3))
    assert (again, found) == (first, len(SYSTEM) + len(picture))


def test_a_few_words_in_common_are_worth_a_few_words() -> None:
    assert worth(SYSTEM, SYSTEM) == len(SYSTEM)
    assert worth((*SYSTEM, 1, 2, 3, 4), (*SYSTEM, 9)) == len(SYSTEM) - 1
    assert worth((*SYSTEM, *range(100, 700)), (*SYSTEM, 9)) == 0
    assert worth((), SYSTEM) == 0
