"""Readings and red zones can be told from the marks and from the pixels."""

from __future__ import annotations

import re
from collections import Counter
from math import atan2, degrees, hypot, radians

import numpy as np
import pytest

from demo.data.gauges import START_DEGREES, SWEEP_DEGREES
from demo.data.scene import Scene
from demo.data.shape import may_meet_in_training
from tests.demo.kinds import Scenes, answers, every, middle, scenes_of
from tests.demo.printed_lines import is_on_raster


@pytest.fixture(scope="module")
def scenes() -> Scenes:
    return scenes_of("gauges")


def needles(scene: Scene) -> list[tuple[tuple[float, float], float, float]]:
    """Centre, angle clockwise from the top, and length of every needle, from the marks."""
    centres = [middle(mark.box) for mark in scene.marks if mark.label == "dial centre"]
    tips = [middle(mark.box) for mark in scene.marks if mark.label == "needle tip"]
    return [
        (
            centre,
            degrees(atan2(tip[0] - centre[0], centre[1] - tip[1])),
            hypot(tip[0] - centre[0], tip[1] - centre[1]),
        )
        for centre, tip in zip(centres, tips, strict=True)
    ]


def share_of_scale(angle: float) -> float:
    return (angle - START_DEGREES) / SWEEP_DEGREES


def end_of_scale(scene: Scene) -> int:
    return 100 if "100" in "".join(mark.label for mark in scene.marks) else 10


def is_red_around(scene: Scene, centre: tuple[float, float], angle: float, distance: float) -> bool:
    """Whether the band behind the needle's tip is red a little before or after it."""
    pixels = np.asarray(scene.picture).astype(int)
    for aside in (-4.0, 4.0):
        turn = radians(angle + aside)
        x, y = centre[0] + distance * np.sin(turn), centre[1] - distance * np.cos(turn)
        red, green, blue = pixels[round(y), round(x)]
        if red > 150 and green < 80 and blue < 80:
            return True
    return False


def test_every_dial_has_its_centre_in_the_middle_of_a_cell(scenes: Scenes) -> None:
    centres = [mark.box for scene in every(scenes) for mark in scene.marks if mark.label == "dial centre"]
    assert centres and all(map(is_on_raster, centres))


def test_the_reading_follows_from_the_marked_needle(scenes: Scenes) -> None:
    for scene in every(scenes):
        asked = answers(scene, r"(?:what does|read) the (?:\w+ )?gauge(?: show\?|\.)")
        expected = [round(share_of_scale(angle) * end_of_scale(scene), 6) for _, angle, _ in needles(scene)]
        assert [float(answer) for _, answer in asked] == expected


def test_the_zone_is_red_where_the_answer_says_so(scenes: Scenes) -> None:
    for scene in every(scenes):
        asked = answers(scene, r"is (?:the needle of )?the (?:\w+ )?gauge in the red zone\?")
        seen = [is_red_around(scene, centre, angle, length + 1.5) for centre, angle, length in needles(scene)]
        assert [answer == "yes" for _, answer in asked] == seen


def test_the_gauge_that_shows_more_is_on_the_side_of_the_answer(scenes: Scenes) -> None:
    for scene in every(scenes):
        for _, side in answers(scene, "which gauge shows more[?]"):
            first, second = needles(scene)
            names = ("left", "right") if side in ("left", "right") else ("top", "bottom")
            axis = 0 if names[0] == "left" else 1
            assert first[0][axis] < second[0][axis]
            assert side == names[int(second[1] > first[1])]


def test_yes_is_as_frequent_as_no_and_one_gauge_as_two(scenes: Scenes) -> None:
    for pattern in ("is .* red zone[?]", "does .* show more than .*", "how many gauges .*"):
        told = Counter(answer for scene in every(scenes) for _, answer in answers(scene, pattern))
        assert len(told) == 2 and min(told.values()) > 0.4 * told.total(), (pattern, told)


def test_no_reading_is_much_more_frequent_than_others(scenes: Scenes) -> None:
    told = Counter(
        answer for scene in scenes["train"] for _, answer in answers(scene, r"(?:what does|read) the .*")
    )
    assert len(told) > 20 and max(told.values()) < 0.15 * told.total()


def test_a_needle_and_a_frame_of_one_set_never_meet_in_another(
    scenes: Scenes,
) -> None:
    looks = [
        {look for scene in some for look in re.findall(r"with (\w+ frame and \w+ needle)", scene.words)}
        for some in scenes.values()
    ]
    assert not (looks[0] & looks[1] or looks[0] & looks[2] or looks[1] & looks[2])
    assert all(len(some) >= 6 for some in looks)


def test_in_training_all_colours_of_two_gauges_may_meet(scenes: Scenes) -> None:
    seen = [re.findall(r"(\w+) (?:frame|needle)", scene.words) for scene in scenes["train"]]
    assert max(map(len, seen)) == 4
    assert all(may_meet_in_training(tuple(colours)) for colours in seen)
