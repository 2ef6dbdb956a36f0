"""Shapes of colours that have no name: they count, but as nothing of any colour that has one."""

from __future__ import annotations

import pytest

from demo.data.nameless import (
    INKS,
    LEAST,
    NAMELESS,
    distance,
    hue_of,
    is_doubtful,
    possible_names,
    shades_on,
)
from demo.data.scene import Scene
from demo.data.shape import COLOURS, KINDS
from demo.data.shape_questions import counted_word
from demo.data.shapes import counted_scene
from demo.data.split import rng_from_name


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [counted_scene(rng_from_name(5, "nameless", index), "train", 1.0) for index in range(80)]


def test_no_shade_can_be_taken_for_a_colour_that_has_a_name() -> None:
    assert len(NAMELESS) > 40 and not set(NAMELESS) & set(COLOURS)
    assert min(distance(shade, ink) for shade in NAMELESS.values() for ink, _ in COLOURS.values()) >= LEAST
    assert len(set(NAMELESS.values())) == len(NAMELESS)


def test_a_shade_may_be_called_by_the_colours_of_its_hue() -> None:
    assert possible_names("blue") == {"blue"}
    for shade in NAMELESS:
        assert possible_names(shade) == {name for name in COLOURS if is_doubtful(name, shade)}
    assert frozenset() in map(possible_names, NAMELESS)


def test_only_shades_that_show_are_drawn() -> None:
    paper = NAMELESS["nameless-0"]
    shown = shades_on(paper)
    assert "nameless-0" not in shown and len(shown) > len(NAMELESS) / 2


def test_a_shade_of_nearly_the_same_hue_is_doubtful() -> None:
    assert hue_of((18, 18, 18)) is None
    for colour in ("black", "white"):
        assert not any(is_doubtful(colour, shade) for shade in NAMELESS)
    green = [shade for shade in NAMELESS if is_doubtful("green", shade)]
    assert green and all(INKS[shade][1] == max(INKS[shade]) for shade in green)
    red = [shade for shade in NAMELESS if is_doubtful("red", shade)]
    assert {INKS[shade][1] > INKS[shade][2] for shade in red} == {True, False}, (
        "on both sides of the wheel's seam"
    )


def test_what_has_no_name_counts_as_a_shape_and_never_as_a_colour(scenes: list[Scene]) -> None:
    seen = 0
    for scene in scenes:
        labels = [mark.label.split() for mark in scene.marks]
        strange = [colour for colour, _ in labels if colour in NAMELESS]
        seen += bool(strange)
        counted = set()
        for question in scene.questions:
            word = counted_word(question.text)
            assert question.answer == str(sum(not word or word in label for label in labels))
            assert len(question.about) == int(question.answer)
            assert "nameless" not in question.text + scene.caption + scene.words
            assert word == "" or word in COLOURS or word in KINDS
            counted.add(word)
        assert "" in counted and {kind for _, kind in labels} <= counted
        for colour in COLOURS:
            is_there = any(colour == label[0] for label in labels)
            is_in_doubt = any(is_doubtful(colour, shade) for shade in strange)
            assert not (is_in_doubt and colour in counted)
            assert is_in_doubt or not is_there or colour in counted
    assert seen > 40


def test_without_a_share_of_them_no_picture_has_any() -> None:
    for index in range(30):
        scene = counted_scene(rng_from_name(5, "nameless", index), "train")
        assert all(mark.label.split()[0] in COLOURS for mark in scene.marks)


def test_what_is_counted_is_read_off_the_question() -> None:
    for text, word in {
        "how many red things are there?": "red",
        "Count the crosses.": "cross",
        "有几个蓝色的东西？": "blue",
        "有几个环形？": "ring",
        "how many shapes do you see?": "",
        "有几个形状？": "",
    }.items():
        assert counted_word(text) == word
