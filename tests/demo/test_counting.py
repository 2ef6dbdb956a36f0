"""What is counted wrong is told by what was counted."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any, cast

import pytest

from demo.counting import SEED, SPLITS, counted_in, tallied
from demo.data.shapes import counted_scene
from demo.data.split import rng_from_name
from edge_runtime.assistant import Assistant

PICTURES = 6


class Sayer:
    """Says the truth, or one and the same."""

    def __init__(self, split: Any, always: str | None = None) -> None:
        scenes = [
            counted_scene(rng_from_name(SEED, split, "counting", each), split) for each in range(PICTURES)
        ]
        self.always = always
        self.answers = [question.answer for scene in scenes for question in scene.questions]

    def ask(self, *_: object, **__: object) -> SimpleNamespace:
        truth = self.answers.pop(0)
        return SimpleNamespace(text=f" {truth if self.always is None else self.always}")


@pytest.mark.parametrize("split", SPLITS)
def test_right_answers_and_wrong_ones_are_told_apart(split: Any) -> None:
    told = tallied(cast(Assistant, Sayer(split)), split, PICTURES)
    assert set(told) == {"all shapes", "colours", "kinds"}
    for each in cast(dict[str, dict[str, float]], told).values():
        assert (each["right"], each["said_too_many"]) == (1.0, 0.0) and each["asked"] >= PICTURES
    wrong = tallied(cast(Assistant, Sayer(split, "9")), split, PICTURES)
    assert {(each["right"], each["said_too_many"]) for each in cast(Any, wrong).values()} == {(0.0, 1.0)}
    silent = tallied(cast(Assistant, Sayer(split, "many")), split, PICTURES)
    assert {(each["right"], each["said_too_many"]) for each in cast(Any, silent).values()} == {(0.0, 0.0)}


def test_every_picture_has_all_of_its_shapes_counted_once() -> None:
    for number in range(20):
        scene = counted_scene(rng_from_name(1, "train", "each", number), "train")
        found = Counter(map(counted_in, scene.questions))
        assert found["all shapes"] == 1 and found["colours"] >= 3 and found["kinds"] >= 3, scene.questions
