"""Every answer about a table follows from the marks of its glyphs."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest

from demo.data.scene import Scene
from demo.data.split import split_of
from demo.data.strings import NUMBER
from demo.data.tables import INKS, LINE
from tests.demo.kinds import Scenes, answers, every, middle, scenes_of
from tests.demo.printed_lines import is_on_raster


@pytest.fixture(scope="module")
def scenes() -> Scenes:
    return scenes_of("tables")


def columns(scene: Scene) -> dict[str, list[str]]:
    """From the marks: the glyphs of a row are as high, those of a cell below the same letter."""
    letters = {mark.label: middle(mark.box)[0] for mark in scene.marks if mark.label in "ABC"}
    digits = [(mark.label, middle(mark.box)) for mark in scene.marks if mark.label.isdigit()]
    heights = sorted({round(y) for _, (_, y) in digits})
    half = (
        min(b - a for a, b in zip(sorted(letters.values()), sorted(letters.values())[1:], strict=False)) / 2
    )
    found: dict[str, list[str]] = {letter: [] for letter in letters}
    for row, height in enumerate(heights):
        line = sorted((x, label) for label, (x, y) in digits if round(y) == height)
        assert line[0][1] == str(row + 1), "the first digit of a line is the row's number"
        for letter, centre in letters.items():
            found[letter].append("".join(label for x, label in line[1:] if abs(x - centre) < half))
    return found


def test_cells_are_what_the_marked_glyphs_spell(scenes: Scenes) -> None:
    for scene in every(scenes):
        table = columns(scene)
        for place, answer in answers(scene, "what (?:is|number is) in (row . column .|column . row .)[?]"):
            row, letter = re.findall(r"\d", place)[0], re.findall("[A-C]", place)[0]
            assert answer == table[letter][int(row) - 1]


def test_a_number_is_looked_for_only_if_the_table_has_it_once(scenes: Scenes) -> None:
    for scene in every(scenes):
        places = [
            (number, letter, str(row + 1))
            for letter, numbers in columns(scene).items()
            for row, number in enumerate(numbers)
        ]
        for number, letter in answers(scene, r"which column has (\d+)\?"):
            assert [place[1] for place in places if place[0] == number] == [letter]
        for number, row in answers(scene, r"which row has (\d+)\?"):
            assert [place[2] for place in places if place[0] == number] == [row]


def test_largest_and_smallest_numbers_follow_from_the_marks(scenes: Scenes) -> None:
    for scene in every(scenes):
        table = columns(scene)
        ((large, largest),) = answers(scene, "what is the largest number in column (.)[?]")
        ((small, smallest),) = answers(scene, "what is the smallest number in column (.)[?]")
        assert int(largest) == max(map(int, table[large])) and int(smallest) == min(map(int, table[small]))


def test_every_size_of_table_is_as_frequent_in_every_split(scenes: Scenes) -> None:
    for some in scenes.values():
        for pattern, counts in (("how many rows .*|有几行？", "234"), ("how many columns .*|有几列？", "23")):
            told = Counter(answer for scene in some for _, answer in answers(scene, pattern))
            assert set(told) == set(counts) and min(told.values()) > 0.7 * told.total() / len(counts)
    sizes = [(len(columns(scene)), len(columns(scene)["A"])) for scene in every(scenes)]
    assert len(set(sizes)) == 6


def test_every_symbol_has_a_cell_of_the_raster(scenes: Scenes) -> None:
    assert all(is_on_raster(mark.box) for scene in every(scenes) for mark in scene.marks)


def lines_of(pixels: np.ndarray) -> list[int]:
    """Where a long stretch of a row of pixels has the colour of grid lines."""
    is_line = np.abs(pixels.astype(int) - LINE).max(-1) <= 8
    return [index for index, row in enumerate(is_line) if row.sum() > 40]


def test_no_print_touches_a_line_and_every_cell_is_as_large(scenes: Scenes) -> None:
    for scene in every(scenes):
        pixels, table = np.asarray(scene.picture), columns(scene)
        across, down = lines_of(pixels), lines_of(pixels.transpose(1, 0, 2))
        assert (len(across), len(down)) == (len(table["A"]) + 2, len(table) + 2)
        assert len(set(np.diff(across).tolist())) == len(set(np.diff(down)[1:].tolist())) == 1
        for mark in scene.marks:
            left, top, right, bottom = mark.box
            assert not any(top - 3 < y < bottom + 3 for y in across), mark
            assert not any(left - 3 < x < right + 3 for x in down), mark
            above = max(y for y in across if y < top)
            assert abs(middle(mark.box)[1] - above - (across[1] - across[0]) / 2) < 0.01, (
                "in the row's middle"
            )


def nearest_ink(glyph: np.ndarray) -> str:
    """By what the strokes take away from white, however thin they are."""
    taken = (255 - glyph[np.argsort(glyph.sum(-1))[:6]]).sum(0)
    shares = {name: (255 - np.array(ink)) / np.linalg.norm(255 - np.array(ink)) for name, ink in INKS.items()}
    return max(shares, key=lambda name: float(taken @ shares[name]))


def test_all_numbers_have_the_colour_of_the_answer(scenes: Scenes) -> None:
    for scene in every(scenes):
        pixels = np.asarray(scene.picture).astype(int)
        ((_, name),) = answers(scene, "what colour are the numbers[?]")
        for mark in scene.marks:
            if mark.label.isdigit():
                left, top, right, bottom = (round(side) for side in mark.box)
                glyph = pixels[top:bottom, left:right].reshape(-1, 3)
                assert nearest_ink(glyph) == name, mark


def test_a_row_is_called_the_first_only_by_its_number(scenes: Scenes) -> None:
    assert not [q.text for scene in every(scenes) for q in scene.questions if "first" in q.text]


def test_rows_and_columns_are_counted_right(scenes: Scenes) -> None:
    for scene in every(scenes):
        table = columns(scene)
        ((_, rows),) = answers(scene, "how many rows .*|有几行？")
        ((_, wide),) = answers(scene, "how many columns .*|有几列？")
        assert (int(wide), int(rows)) == (len(table), len(table["A"]))


def test_numbers_of_one_set_are_never_printed_in_another(scenes: Scenes) -> None:
    for split, some in scenes.items():
        numbers = {number for scene in some for column in columns(scene).values() for number in column}
        assert {split_of(NUMBER, number) for number in numbers} == {split}
