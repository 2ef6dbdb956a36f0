"""Every answer about a table follows from the marks of its glyphs."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from demo.data.scene import CANVAS, Box, Scene
from demo.data.split import Split, rng_from_name, split_of
from demo.data.tables import tables_scene

SPLITS: tuple[Split, ...] = ("train", "validation", "held-out")


@pytest.fixture(scope="module")
def scenes() -> dict[Split, list[Scene]]:
    return {split: [tables_scene(rng_from_name(7, split, i), split) for i in range(120)] for split in SPLITS}


def every(scenes: dict[Split, list[Scene]]) -> list[Scene]:
    return [scene for some in scenes.values() for scene in some]


def answers(scene: Scene, pattern: str) -> list[tuple[str, str]]:
    """What the pattern caught in the questions that match it, and their answers."""
    found = [(re.fullmatch(pattern, question.text), question.answer) for question in scene.questions]
    return [(match[1] if match.groups() else "", answer) for match, answer in found if match]


def test_the_same_name_makes_the_same_scene() -> None:
    one, other = (tables_scene(rng_from_name(1, "twice"), "train") for _ in range(2))
    assert one.picture is not None and other.picture is not None
    assert one.picture.tobytes() == other.picture.tobytes()
    assert (one.marks, one.questions, one.words) == (other.marks, other.questions, other.words)


def test_nothing_is_cut_by_the_border(scenes: dict[Split, list[Scene]]) -> None:
    boxes = [mark.box for scene in every(scenes) for mark in scene.marks]
    assert min(min(box) for box in boxes) >= 0
    assert max(max(box) for box in boxes) <= CANVAS


def test_many_questions_are_asked_and_none_of_them_twice(scenes: dict[Split, list[Scene]]) -> None:
    for scene in every(scenes):
        texts = [question.text for question in scene.questions]
        assert len(texts) == len(set(texts)) >= 6
        assert {question.task for question in scene.questions} == {"table"}


def test_captions_are_short_and_differ(scenes: dict[Split, list[Scene]]) -> None:
    captions = [scene.caption for scene in every(scenes)]
    assert max(len(caption.split()) for caption in captions) <= 20
    assert len(set(captions)) > 0.3 * len(captions)


def middle(box: Box) -> tuple[float, float]:
    return ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)


def columns(scene: Scene) -> dict[str, list[str]]:
    """From the marks: the glyphs of a row are as high, those of a cell below the same letter."""
    letters = {mark.label: middle(mark.box)[0] for mark in scene.marks if mark.label in "ABCD"}
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


def test_cells_are_what_the_marked_glyphs_spell(scenes: dict[Split, list[Scene]]) -> None:
    for scene in every(scenes):
        table = columns(scene)
        for place, answer in answers(scene, "what (?:is|number is) in (row . column .|column . row .)[?]"):
            row, letter = re.findall(r"\d", place)[0], re.findall("[A-D]", place)[0]
            assert answer == table[letter][int(row) - 1]


def test_a_number_is_looked_for_only_if_the_table_has_it_once(scenes: dict[Split, list[Scene]]) -> None:
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


def test_largest_and_smallest_numbers_follow_from_the_marks(scenes: dict[Split, list[Scene]]) -> None:
    for scene in every(scenes):
        table = columns(scene)
        ((large, largest),) = answers(scene, "what is the largest number in column (.)[?]")
        ((small, smallest),) = answers(scene, "what is the smallest number in column (.)[?]")
        assert int(largest) == max(map(int, table[large])) and int(smallest) == min(map(int, table[small]))


def test_every_size_of_table_is_as_frequent_in_every_split(scenes: dict[Split, list[Scene]]) -> None:
    for some in scenes.values():
        for pattern in ("how many rows .*|有几行？", "how many columns .*|有几列？"):
            told = Counter(answer for scene in some for _, answer in answers(scene, pattern))
            assert set(told) == {"2", "3", "4"} and min(told.values()) > 0.2 * told.total()
    sizes = [(len(columns(scene)), len(columns(scene)["A"])) for scene in every(scenes)]
    assert len(set(sizes)) == 9


def test_rows_and_columns_are_counted_right(scenes: dict[Split, list[Scene]]) -> None:
    for scene in every(scenes):
        table = columns(scene)
        ((_, rows),) = answers(scene, "how many rows .*|有几行？")
        ((_, wide),) = answers(scene, "how many columns .*|有几列？")
        assert (int(wide), int(rows)) == (len(table), len(table["A"]))


def test_numbers_of_one_set_are_never_printed_in_another(scenes: dict[Split, list[Scene]]) -> None:
    for split, some in scenes.items():
        numbers = {number for scene in some for column in columns(scene).values() for number in column}
        assert {split_of("number", number) for number in numbers} == {split}
