"""The time can be told from the marked hands."""

from __future__ import annotations

import re
from collections import Counter
from math import atan2, degrees, hypot

import pytest

from demo.data.scene import Scene
from demo.data.shape import may_meet_in_training
from demo.data.split import split_of
from tests.demo.kinds import Scenes, answers, every, middle, scenes_of
from tests.demo.printed_lines import is_on_raster


@pytest.fixture(scope="module")
def scenes() -> Scenes:
    return scenes_of("clocks")


TIME = r"(?:现在几点？|what time .*)"


def times(scene: Scene) -> list[str]:
    """From the marks: the minute hand's angle, and the hour hand's place between two hours."""
    points: dict[str, list[tuple[float, float]]] = {"dial centre": [], "hour tip": [], "minute tip": []}
    for mark in scene.marks:
        if mark.label in points:
            points[mark.label].append(middle(mark.box))
    told = []
    for centre, hour, minute in zip(*points.values(), strict=True):
        assert hypot(hour[0] - centre[0], hour[1] - centre[1]) < 0.7 * hypot(
            minute[0] - centre[0], minute[1] - centre[1]
        )
        minutes = round(turn(centre, minute) / 6) % 60
        hours = turn(centre, hour) / 30 - minutes / 60
        assert abs(hours - round(hours)) < 0.01, (
            "the hour hand must stand between the hours as the minutes say"
        )
        told.append(f"{round(hours) % 12 or 12}:{minutes:02d}")
    return told


def turn(centre: tuple[float, float], tip: tuple[float, float]) -> float:
    """Degrees clockwise from the top."""
    return degrees(atan2(tip[0] - centre[0], centre[1] - tip[1])) % 360


def test_every_dial_has_its_centre_in_the_middle_of_a_cell(scenes: Scenes) -> None:
    centres = [mark.box for scene in every(scenes) for mark in scene.marks if mark.label == "dial centre"]
    assert centres and all(map(is_on_raster, centres))


def test_the_time_follows_from_the_marked_hands(scenes: Scenes) -> None:
    for scene in every(scenes):
        assert [answer for _, answer in answers(scene, TIME)] == times(scene)


def test_hour_and_minutes_are_those_of_the_time(scenes: Scenes) -> None:
    for scene in every(scenes):
        hours = [answer for _, answer in answers(scene, "what is the hour on .*")]
        minutes = [answer for _, answer in answers(scene, "how many minutes .*")]
        assert [f"{hour}:{int(minute):02d}" for hour, minute in zip(hours, minutes, strict=True)] == times(
            scene
        )
        near = [int(answer) % 12 * 5 for _, answer in answers(scene, "which number does the long hand .*")]
        assert near == [int(minute) for minute in minutes]


def test_times_of_one_set_are_never_shown_in_another(scenes: Scenes) -> None:
    for split, some in scenes.items():
        assert {split_of("time", time) for scene in some for time in times(scene)} == {split}


def test_training_shows_every_hour_and_every_minute(scenes: Scenes) -> None:
    shown = [time.split(":") for scene in scenes["train"] for time in times(scene)]
    assert {hour for hour, _ in shown} == {str(hour) for hour in range(1, 13)}
    assert {minute for _, minute in shown} == {f"{minute:02d}" for minute in range(0, 60, 5)}


def test_two_clocks_are_called_by_the_side_they_are_on(scenes: Scenes) -> None:
    for scene in every(scenes):
        centres = [middle(mark.box) for mark in scene.marks if mark.label == "dial centre"]
        named = [name for name, _ in answers(scene, r"what is the hour on the (?:(\w+) )?clock\?")]
        if len(centres) == 1:
            assert named == [None]
        else:
            axis = 0 if named == ["left", "right"] else 1
            assert named in (["left", "right"], ["top", "bottom"]) and centres[0][axis] < centres[1][axis]


def test_one_clock_is_as_frequent_as_two_and_numbers_as_none(scenes: Scenes) -> None:
    for pattern in ("how many clocks .*|有几个钟？", "are there numbers .*"):
        told = Counter(answer for scene in every(scenes) for _, answer in answers(scene, pattern))
        assert len(told) == 2 and min(told.values()) > 0.4 * told.total(), (pattern, told)


def test_in_training_all_colours_of_two_clocks_may_meet(scenes: Scenes) -> None:
    seen = [re.findall(r"(\w+) (?:frame|hands)", scene.words) for scene in scenes["train"]]
    assert max(map(len, seen)) == 4
    assert all(may_meet_in_training(tuple(colours)) for colours in seen)
