"""Pages of practice are full, can be read, and hold nothing that another picture may be asked about."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest

from demo.data.practice import RUN, practice_page
from demo.data.scene import CANVAS, Box, Mark
from demo.data.split import rng_from_name, split_of
from demo.data.strings import NUMBER, SHORTEST_CODE, WORDS
from tests.demo.printed_lines import is_on_raster

Pages = list[tuple[Mark, ...]]


@pytest.fixture(scope="module")
def pages() -> Pages:
    return [practice_page(rng_from_name(5, "page", index))[1] for index in range(80)]


def rows_of(marks: tuple[Mark, ...]) -> list[list[Mark]]:
    """Marks of the same height in a row; they are drawn from left to right and from top to bottom."""
    rows: list[list[Mark]] = []
    for mark in marks:
        if rows and (rows[-1][-1].box[1], rows[-1][-1].box[3]) == (mark.box[1], mark.box[3]):
            rows[-1].append(mark)
        else:
            rows.append([mark])
    return rows


def runs_of(row: list[Mark]) -> list[str]:
    """What stands side by side without a blank."""
    text = row[0].label
    for before, mark in pairwise(row):
        gap = mark.box[0] - before.box[2]
        text += (" " if gap > 0.5 else "") + mark.label
    return text.split()


def test_the_same_numbers_give_the_same_page() -> None:
    one, other = (practice_page(rng_from_name(3, "page", 5)) for _ in range(2))
    assert one[0].tobytes() == other[0].tobytes() and one[1] == other[1]


def test_no_code_and_no_word_can_stand_on_a_page(pages: Pages) -> None:
    """Whatever its set: the shortest of them is longer than any run of symbols."""
    runs = [run for marks in pages for row in rows_of(marks) for run in runs_of(row)]
    assert max(map(len, runs)) == RUN < min(SHORTEST_CODE, *map(len, WORDS))
    assert {len(run) for run in runs} == {1, 2, 3}


def test_no_number_of_another_set_can_stand_on_a_page(pages: Pages) -> None:
    runs = [run for marks in pages for row in rows_of(marks) for run in runs_of(row)]
    numbers = {run for run in runs if re.fullmatch(r"[-.\d]*\d\.?\d[-.]*", run)}
    assert len(numbers) > 50
    assert {split_of(NUMBER, number.strip("-.")) for number in numbers} == {"train"}


def test_rows_do_not_touch_and_every_symbol_has_a_cell_of_the_raster(pages: Pages) -> None:
    for marks in pages:
        bottom = 0.0
        for row in rows_of(marks):
            left, top, right, below = row[0].box
            assert bottom < top and below <= CANVAS and right - left in (12, 24, 36)
            bottom = below
            assert all(is_on_raster(mark.box) for mark in row)


def test_a_page_is_full_of_symbols_that_are_not_cut(pages: Pages) -> None:
    assert sum(map(len, pages)) / len(pages) > 90
    boxes: list[Box] = [mark.box for marks in pages for mark in marks]
    assert min(min(box) for box in boxes) >= 0 and max(max(box) for box in boxes) <= CANVAS
