"""What a meter shows is what its lit segments spell, and no set shows a number of another."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from demo.data.meters import LIT, SEGMENTS
from demo.data.scene import Box, Scene
from demo.data.shape import may_meet_in_training
from demo.data.split import split_of
from demo.data.strings import NUMBER
from tests.demo.kinds import Scenes, answers, every, scenes_of
from tests.demo.printed_lines import is_on_raster


@pytest.fixture(scope="module")
def scenes() -> Scenes:
    return scenes_of("meters")


def readings(scene: Scene) -> dict[str, str]:
    """From the marks alone: a meter's name comes before what it shows."""
    text = "".join(mark.label for mark in scene.marks)
    return dict(re.findall(r"([A-Z]+)([-.0-9]+)", text))


def lit_segments(scene: Scene, box: Box, colour: str) -> set[str]:
    """Which of a digit's segments have the colour of light in the picture."""
    assert scene.picture is not None
    left, top, right, bottom = box
    inset, middle = 0.065 * (bottom - top), (left + right) / 2
    upper, lower = top + (bottom - top) / 4 + 1, bottom - (bottom - top) / 4 - 1
    points = {
        "a": (middle, top + inset),
        "b": (right - inset, upper),
        "c": (right - inset, lower),
        "d": (middle, bottom - inset),
        "e": (left + inset, lower),
        "f": (left + inset, upper),
        "g": (middle, (top + bottom) / 2),
    }
    lit = set()
    for name, (x, y) in points.items():
        pixel = scene.picture.getpixel((round(x), round(y)))
        assert isinstance(pixel, tuple)
        if max(abs(a - b) for a, b in zip(pixel, LIT[colour], strict=True)) < 40:
            lit.add(name)
    return lit


def test_every_symbol_has_a_cell_of_the_raster(scenes: Scenes) -> None:
    """And a point, as far from a digit as it is, one that no digit has its middle in."""
    for scene in every(scenes):
        cells = [
            tuple((mark.box[axis] + mark.box[axis + 2]) // 24 for axis in (0, 1)) for mark in scene.marks
        ]
        assert len(set(cells)) == len(cells)
        assert all(is_on_raster(mark.box) for mark in scene.marks if mark.label != ".")


def test_the_answer_is_what_the_marked_glyphs_spell(scenes: Scenes) -> None:
    for scene in every(scenes):
        shown = readings(scene)
        asked = answers(scene, r"(?:what does|read) the ([A-Z]+ )?meter(?: show\?|\.)")
        assert len(asked) == len(shown) or "电表显示多少？" in [question.text for question in scene.questions]
        for name, answer in asked:
            assert answer == (shown[name.strip()] if name else next(iter(shown.values())))


def test_the_segments_of_every_digit_are_lit_in_the_picture(scenes: Scenes) -> None:
    for scene in scenes["train"][:40]:
        colours = iter(re.findall(r"(\w+) digits", scene.words))
        colour = ""
        for before, mark in zip([None, *scene.marks], scene.marks, strict=False):
            if mark.label in "-.0123456789" and (before is None or before.label.isalpha()):
                colour = next(colours)
            if mark.label.isdigit():
                assert lit_segments(scene, mark.box, colour) == set(SEGMENTS[mark.label]), mark


def test_the_meter_that_shows_more_has_the_larger_number(scenes: Scenes) -> None:
    asked = [
        (scene, name)
        for scene in every(scenes)
        for _, name in answers(scene, "what is the name of the meter that shows more[?]")
    ]
    assert len(asked) > 100
    for scene, name in asked:
        shown = {key: float(value) for key, value in readings(scene).items()}
        assert len(shown) == 2 and shown[name] == max(shown.values()) > min(shown.values())


def test_numbers_of_one_set_are_never_shown_in_another(scenes: Scenes) -> None:
    for split, some in scenes.items():
        for scene in some:
            assert {split_of(NUMBER, number.strip("-")) for number in readings(scene).values()} == {split}


def test_in_training_all_colours_of_two_meters_may_meet(scenes: Scenes) -> None:
    seen = [re.findall(r"(\w+) (?:digits|frame)", scene.words) for scene in scenes["train"]]
    assert max(map(len, seen)) == 4
    assert all(may_meet_in_training(tuple(colours)) for colours in seen)


def test_one_and_two_meters_and_yes_and_no_are_as_frequent(scenes: Scenes) -> None:
    counts = Counter(len(readings(scene)) for scene in every(scenes))
    assert set(counts) == {1, 2} and min(counts.values()) > 140
    told = Counter(
        answer for scene in every(scenes) for _, answer in answers(scene, "does the .* meter show more .*")
    )
    assert set(told) == {"yes", "no"} and min(told.values()) > 0.4 * told.total()
