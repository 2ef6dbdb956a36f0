"""Pages of shapes name what is drawn, row by row, in colours that may meet in their set."""

from __future__ import annotations

from collections import Counter

import pytest

from demo.data.lessons import Lessons, lesson_scene
from demo.data.pages import READ
from demo.data.placing import apart, layout_key
from demo.data.scene import CANVAS, Scene, box_text
from demo.data.shape import COLOURS, KINDS, MOST, colours_key
from demo.data.shape_pages import LOCATE, NAME, shape_page
from demo.data.shape_questions import ASKED, kinds_of, things_of
from demo.data.shapes import ABSENT, shapes_scene
from demo.data.split import Split, rng_from_name, split_of
from tests.demo.printed_lines import SPLITS, made


@pytest.fixture(scope="module")
def pages() -> list[Scene]:
    return made(shape_page, "train", 80)


def colours_of(scene: Scene) -> list[str]:
    return list(dict.fromkeys(mark.label.split()[0] for mark in scene.marks))


def test_the_same_numbers_give_the_same_page() -> None:
    one, other = (shape_page(rng_from_name(3, "page", 5), "train") for _ in range(2))
    assert one.picture is not None and other.picture is not None
    assert one.picture.tobytes() == other.picture.tobytes() and one.questions == other.questions


def test_the_answer_names_every_shape_from_the_top_left(pages: list[Scene]) -> None:
    for scene in pages:
        (question,) = scene.questions
        assert question.text == NAME
        assert question.answer == ", ".join(mark.label for mark in scene.marks)
        for one, other in zip(scene.marks, scene.marks[1:], strict=False):
            is_below, is_right = other.box[1] >= one.box[3], other.box[0] >= one.box[2]
            assert is_below or is_right, (one, other)


def test_shapes_lie_apart_inside_the_picture(pages: list[Scene]) -> None:
    for scene in pages:
        boxes = [mark.box for mark in scene.marks]
        assert all(min(box[:2]) >= 0 and max(box[2:]) <= CANVAS for box in boxes)
        assert all(apart(one, other) for index, one in enumerate(boxes) for other in boxes[:index])


def test_in_training_every_two_colours_of_a_page_are_a_training_pair(pages: list[Scene]) -> None:
    for scene in pages:
        colours = colours_of(scene)
        pairs = [colours_key(one, other) for index, one in enumerate(colours) for other in colours[:index]]
        assert all(split_of("colours", pair) == "train" for pair in pairs)


def test_pages_hold_one_shape_to_a_picture_full(pages: list[Scene]) -> None:
    counts = [len(scene.marks) for scene in pages]
    assert min(counts) <= 3 and max(counts) >= 16


@pytest.mark.parametrize("split", SPLITS)
def test_lessons_are_pages_of_print_and_of_shapes(split: Split) -> None:
    asked = [scene.questions[0].text for scene in made(lesson_scene, split, 60)]
    assert set(asked) == {READ, NAME}
    assert asked.count(READ) > 20 and asked.count(NAME) > 10


def test_more_rows_hold_more_and_smaller_shapes_that_still_lie_apart() -> None:
    crowded = [shape_page(rng_from_name(7, "crowded", index), "train", most_rows=7) for index in range(60)]
    assert max(len(scene.marks) for scene in crowded) > 25
    for scene in crowded:
        boxes = [mark.box for mark in scene.marks]
        assert all(min(box[:2]) >= 0 and max(box[2:]) <= CANVAS for box in boxes)
        assert all(apart(one, other) for index, one in enumerate(boxes) for other in boxes[:index])


def test_where_shapes_are_to_be_located_each_name_is_followed_by_its_box() -> None:
    for index in range(20):
        scene = shape_page(rng_from_name(7, "located", index), "train", 3, is_located=True)
        (question,) = scene.questions
        assert question.text == LOCATE
        assert question.answer == ", ".join(f"{mark.label} {box_text(mark.box)}" for mark in scene.marks)


def test_a_drill_asks_about_more_shapes_than_a_usual_picture() -> None:
    drills = [
        lesson_scene(rng_from_name(7, "drill", index), "train", Lessons(print_share=0, drill_share=1))
        for index in range(20)
    ]
    usual = made(shapes_scene, "train", 20)
    tasks = [
        Counter(question.task for scene in scenes for question in scene.questions)
        for scenes in (drills, usual)
    ]
    assert all(tasks[0][task] > tasks[1][task] for task in ("colour", "shape", "box", "place"))
    boxes = [question for scene in usual for question in scene.questions if question.task == "box"]
    assert len(boxes) <= ASKED * len(usual)


def test_a_lesson_in_counting_counts_every_colour_and_every_kind_and_what_is_not_there() -> None:
    answers = Counter[str]()
    for index in range(40):
        lessons = Lessons(print_share=0, counted_share=1)
        scene = lesson_scene(rng_from_name(7, "counted", index), "train", lessons)
        there = [mark.label.split() for mark in scene.marks]
        for question in scene.questions:
            assert question.task == "count"
            assert len(question.about) == int(question.answer)
            answers[question.answer] += 1
        said = " ".join(question.text for question in scene.questions)
        names = [(colour, things_of(colour)) for colour, _ in there]
        names += [(kind, kinds_of(kind)) for _, kind in there]
        for name, words in names:
            assert words.english in said or words.chinese in said, (name, said)
        zeros = [question for question in scene.questions if question.answer == "0"]
        colours, kinds = {colour for colour, _ in there}, {kind for _, kind in there}
        assert len(zeros) >= min(ABSENT, len(COLOURS) - len(colours)) + min(ABSENT, len(KINDS) - len(kinds))
    assert set(answers) == set("0123456")


@pytest.mark.parametrize(
    ("lessons", "wanted"),
    [
        (Lessons(print_share=1), {READ}),
        (Lessons(print_share=0), {NAME}),
        (Lessons(print_share=0, located_share=1), {LOCATE}),
        (Lessons(print_share=0.3, located_share=0.7), {READ, LOCATE}),
    ],
)
def test_lessons_are_of_the_kinds_that_their_shares_say(lessons: Lessons, wanted: set[str]) -> None:
    scenes = [lesson_scene(rng_from_name(7, "kind", index), "train", lessons) for index in range(10)]
    assert {scene.questions[0].text for scene in scenes} == wanted


def test_a_page_of_few_shapes_does_not_lie_as_a_scene_of_another_set() -> None:
    pages = [shape_page(rng_from_name(9, index), "train", most_rows=3) for index in range(60)]
    few = [[mark.box for mark in page.marks] for page in pages if len(page.marks) <= MOST]
    assert len(few) > 20
    assert {split_of("layout/shapes", layout_key(boxes)) for boxes in few} == {"train"}
