"""Shapes of colours without a name in scenes about which everything else is asked."""

from __future__ import annotations

import hashlib
import re

import pytest

from demo.data.generator import MAKERS, SHADED, scene_of
from demo.data.lessons import Lessons, lesson_scene
from demo.data.nameless import NAMELESS, names_in_doubt
from demo.data.scene import Scene
from demo.data.shape import COLOURS
from demo.data.shapes import shapes_scene
from demo.data.split import rng_from_name

LESSONS = Lessons(print_share=0.0, drill_share=1.0, nameless_drills=1.0)
MAKES = {
    "scenes": lambda number: scene_of(5, "train", number, (SHADED,)),
    "drills": lambda number: lesson_scene(rng_from_name(5, "drill", number), "train", LESSONS),
}


def shades_in(scene: Scene) -> list[str]:
    return [colour for mark in scene.marks if (colour := mark.label.split()[0]) in NAMELESS]


@pytest.fixture(scope="module", params=MAKES)
def scenes(request: pytest.FixtureRequest) -> list[Scene]:
    return [MAKES[request.param](number) for number in range(120)]


def test_some_pictures_have_shades_and_every_one_has_a_question(scenes: list[Scene]) -> None:
    assert sum(bool(shades_in(scene)) for scene in scenes) > 40
    assert all(scene.questions for scene in scenes)
    for scene in scenes:
        said = " ".join(each.text + each.answer for each in scene.questions) + scene.caption + scene.words
        assert "nameless" not in said


def test_no_question_names_or_asks_for_a_colour_that_a_shade_might_go_by(scenes: list[Scene]) -> None:
    tasks = set()
    for scene in scenes:
        shades = shades_in(scene)
        for question in scene.questions if shades else ():
            tasks.add(question.task)
            words = {
                word
                for word, (_, chinese) in COLOURS.items()
                if word in question.text or chinese in question.text
            }
            is_guess = re.match(r"is .* (\w+)\?$|.*是.*吗？$", question.text) is not None
            if not is_guess:
                assert not words & names_in_doubt(shades), question
    assert tasks >= {"colour", "shape", "count", "place", "size", "box"}


def test_the_colour_of_a_shade_is_never_asked(scenes: list[Scene]) -> None:
    for scene in scenes:
        labels = {mark.box: mark.label.split()[0] for mark in scene.marks}
        for question in scene.questions:
            if question.task == "colour":
                (box,) = question.about
                assert labels[box] in COLOURS
                assert question.answer in {
                    labels[box],
                    COLOURS[labels[box]][1],
                    "yes",
                    "no",
                    "是",
                    "不是",
                    "否",
                }


def test_scenes_without_shades_are_what_they_were_before_there_were_any() -> None:
    """The figures of every model are about these."""
    digest = hashlib.sha256()
    for number in range(40):
        scene = shapes_scene(rng_from_name(1, number), "held-out", is_drill=number % 2 == 1)
        digest.update(repr((scene.questions, scene.marks, scene.caption)).encode())
    assert digest.hexdigest() == "961ce2d211217f9e73bfdec52455bb890afc903a073e8476e95c3c678953cfe7"
    assert SHADED not in MAKERS, "nobody is asked about them in the end"
