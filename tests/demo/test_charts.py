"""Every answer about a chart follows from the marks of its bars, its axis and its letters."""

from __future__ import annotations

import re
from collections import Counter
from itertools import combinations

import numpy as np
import pytest

from demo.data.charts import (
    CHINESE,
    COLOURS,
    NAMES,
    colour_pairs,
    drawn_looks,
    rows_of_colours,
)
from demo.data.scene import Scene
from demo.data.shape import colours_key, may_meet_in_training
from demo.data.split import Split, split_of
from tests.demo.kinds import SPLITS, Scenes, answers, every, middle, scenes_of
from tests.demo.printed_lines import is_on_raster


@pytest.fixture(scope="module")
def scenes() -> Scenes:
    return scenes_of("charts")


Bar = tuple[str, str, int]  # letter, colour, value


def bars(scene: Scene) -> list[Bar]:
    """From the marks: the tops of the bars between the 0 and the 8 of the axis, the letters by their place."""
    axis = {mark.label: middle(mark.box)[1] for mark in scene.marks if mark.label in "268"}
    unit = (axis["2"] - axis["8"]) / 6
    letters = [mark for mark in scene.marks if mark.label in "ABCDE"]
    tops = [mark for mark in scene.marks if mark.label.endswith("bar top")]
    found = []
    for letter, top in zip(letters, tops, strict=True):
        (x, y), below = middle(top.box), middle(letter.box)
        assert abs(x - below[0]) < 0.01 and below[1] > y
        found.append((letter.label, top.label.split()[0], round(2 + (axis["2"] - y) / unit)))
    return found


def test_symbols_and_the_tops_of_bars_have_cells_of_the_raster(scenes: Scenes) -> None:
    assert all(is_on_raster(mark.box) for scene in every(scenes) for mark in scene.marks)


def test_the_bars_have_the_colours_of_their_marks(scenes: Scenes) -> None:
    for scene in every(scenes):
        pixels = np.asarray(scene.picture).astype(int)
        for mark in scene.marks:
            if mark.label.endswith("bar top"):
                x, y = (round(value) for value in middle(mark.box))
                off = np.abs(pixels[y + 3, x] - COLOURS[mark.label.split()[0]])
                paper = np.abs(pixels[y - 3, x] - COLOURS[mark.label.split()[0]])
                assert off.max() < 10 < paper.max()


def test_values_and_colours_follow_from_the_marks(scenes: Scenes) -> None:
    for scene in every(scenes):
        values = answers(scene, r"(?:what is the value of (?:bar )?|how tall is bar )?([A-E])(?:\?|是多少？)")
        assert values == [(letter, str(value)) for letter, _, value in bars(scene)]
        names = answers(scene, r"what (?:colour is|is the colour of) bar ([A-E])\?")
        names += answers(scene, "([A-E])是什么颜色？")
        words = {letter: (colour, CHINESE[colour]) for letter, colour, _ in bars(scene)}
        assert len(names) == len(words) and all(answer in words[letter] for letter, answer in names)
        which = answers(scene, r"(?:which bar is|what letter is below the) (\w+)(?: bar)?\?")
        assert which == [(colour, letter) for letter, colour, _ in bars(scene)]


def test_comparisons_follow_from_the_marks(scenes: Scenes) -> None:
    for scene in every(scenes):
        value = {letter: height for letter, _, height in bars(scene)}
        (tallest,) = answers(scene, "(?:which bar is|what is) the tallest(?: bar)?[?]")
        (shortest,) = answers(scene, "(?:which bar is|what is) the shortest(?: bar)?[?]")
        assert [key for key in value if value[key] == max(value.values())] == [tallest[1]]
        assert [key for key in value if value[key] == min(value.values())] == [shortest[1]]
        ((pair, told),) = answers(scene, "is (.* taller than .*)[?]")
        one, other = re.findall("[A-E]", pair)
        assert value[one] != value[other] and (value[one] > value[other]) == (told == "yes")


def test_answers_are_balanced(scenes: Scenes) -> None:
    taller = Counter(answer for scene in every(scenes) for _, answer in answers(scene, "is .* taller .*"))
    assert min(taller["yes"], taller["no"]) > 0.4 * taller.total()
    count = Counter(len(bars(scene)) for scene in every(scenes))
    assert set(count) == {3, 4, 5} and min(count.values()) > 0.25 * count.total()
    values = Counter(value for scene in every(scenes) for _, _, value in bars(scene))
    assert set(values) == set(range(1, 11)) and max(values.values()) < 0.15 * values.total()


def test_colours_and_values_belong_to_the_split(scenes: Scenes) -> None:
    for split, some in scenes.items():
        for scene in some:
            rows = bars(scene)
            assert split_of("colours", colours_key(rows[0][1], rows[1][1])) == split
            assert split_of("chart values", "-".join(str(value) for _, _, value in rows)) == split


def test_every_two_bars_of_a_training_chart_are_a_training_pair(scenes: Scenes) -> None:
    for scene in scenes["train"]:
        pairs = list(combinations([colour for _, colour, _ in bars(scene)], 2))
        assert len(pairs) in (3, 6, 10)
        assert {split_of("colours", colours_key(*pair)) for pair in pairs} == {"train"}


@pytest.mark.parametrize("count", [3, 4, 5])
def test_all_rows_of_colours_a_chart_can_have_are_of_their_split(count: int) -> None:
    for row in rows_of_colours("train", count):
        assert all(split_of("colours", colours_key(*pair)) == "train" for pair in combinations(row, 2))
    others: tuple[Split, ...] = ("validation", "held-out")
    for split in others:
        assert all(
            split_of("colours", colours_key(*row[:2])) == split for row in rows_of_colours(split, count)
        )
    for every_split in SPLITS:
        rows = rows_of_colours(every_split, count)
        assert all(len(set(row)) == len(row) == count for row in rows) and len(set(rows)) == len(rows) >= 20
    assert {colour for row in rows_of_colours("train", count) for colour in row} == set(NAMES)


def test_two_things_of_a_training_picture_have_colours_that_may_meet() -> None:
    rng = np.random.default_rng(1)
    seen = [drawn_looks(rng, "train", "gauges", NAMES, NAMES, 2) for _ in range(300)]
    colours = [tuple(colour for look in looks for colour in look) for looks in seen]
    assert all(may_meet_in_training(four) for four in colours)
    assert len(set(seen)) > 100 and not may_meet_in_training(NAMES)
    for split in SPLITS:
        pairs = set(colour_pairs(split, "gauges", NAMES, NAMES))
        drawn = {look for _ in range(50) for look in drawn_looks(rng, split, "gauges", NAMES, NAMES, 2)}
        assert drawn <= pairs and len(drawn) >= 4


def test_pairs_of_parts_belong_to_one_split_only() -> None:
    sets = [set(colour_pairs(split, "gauges", NAMES, NAMES)) for split in SPLITS]
    assert sum(map(len, sets)) == len(set().union(*sets)) == len(NAMES) ** 2


def test_no_training_pair_of_parts_is_a_pair_of_another_split() -> None:
    assert all(
        split_of("colours", colours_key(*pair)) == "train"
        for pair in colour_pairs("train", "gauges", NAMES, NAMES)
    )
