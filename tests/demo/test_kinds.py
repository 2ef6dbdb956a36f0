"""What holds for every kind of scene that shows instruments, charts or tables."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from demo.data.generator import MAKERS
from demo.data.scene import CANVAS, Task
from demo.data.split import rng_from_name
from tests.demo.kinds import Scenes, every, scenes_of


@dataclass(frozen=True)
class Kind:
    """`before` and `after` are pixels to the canvas's edges; `differing` is the least share of unlike captions."""

    name: str
    task: Task
    before: int
    after: int
    differing: float


KINDS = (
    Kind("gauges", "gauge", 2, 2, 0.85),
    Kind("meters", "meter", 0, 2, 0.95),
    Kind("clocks", "clock", 2, 2, 0.85),
    Kind("charts", "chart", 0, 0, 0.95),
    Kind("tables", "table", 0, 0, 0.3),
)


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: kind.name)
def kind(request: pytest.FixtureRequest) -> Kind:
    chosen = request.param
    assert isinstance(chosen, Kind)
    return chosen


@pytest.fixture(scope="module")
def scenes(kind: Kind) -> Scenes:
    return scenes_of(kind.name)


def test_the_same_name_makes_the_same_scene(kind: Kind) -> None:
    one, other = (MAKERS[kind.name](rng_from_name(1, "twice"), "train") for _ in range(2))
    assert one.picture is not None
    assert other.picture is not None
    assert one.picture.tobytes() == other.picture.tobytes()
    assert (one.marks, one.questions, one.words) == (other.marks, other.questions, other.words)


def test_nothing_is_cut_by_the_border(kind: Kind, scenes: Scenes) -> None:
    boxes = [mark.box for scene in every(scenes) for mark in scene.marks]
    assert min(min(box) for box in boxes) >= kind.before
    assert max(max(box) for box in boxes) <= CANVAS - kind.after


def test_many_questions_are_asked_and_none_of_them_twice(kind: Kind, scenes: Scenes) -> None:
    for scene in every(scenes):
        texts = [question.text for question in scene.questions]
        assert len(texts) == len(set(texts)) >= 6
        assert {question.task for question in scene.questions} == {kind.task}


def test_captions_are_short_and_differ(kind: Kind, scenes: Scenes) -> None:
    captions = [scene.caption for scene in every(scenes)]
    assert max(len(caption.split()) for caption in captions) <= 20
    assert len(set(captions)) > kind.differing * len(captions)
