"""Shapes are where their marks say, and every answer can be found from the marks alone."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pytest

from demo.data.placing import apart, layout_key, placed
from demo.data.scene import CANVAS, Mark, Question, Scene, box_text
from demo.data.shape import COLOURS, KINDS, colours_key
from demo.data.shapes import shapes_scene
from demo.data.split import Split, rng_from_name, split_of

SPLITS: tuple[Split, ...] = ("train", "validation", "held-out")
ENGLISH_KIND = {"crosses": "cross"} | {f"{kind}s": kind for kind in KINDS if kind != "cross"}
ENDS = {
    "leftmost": lambda box: box[0] + box[2],
    "rightmost": lambda box: -box[0] - box[2],
    "topmost": lambda box: box[1] + box[3],
    "lowest": lambda box: -box[1] - box[3],
    "smallest": lambda box: box[2] - box[0],
    "largest": lambda box: box[0] - box[2],
}


@pytest.fixture(scope="module")
def scenes() -> dict[Split, list[Scene]]:
    return {split: [shapes_scene(rng_from_name(7, split, i), split) for i in range(300)] for split in SPLITS}


def every(scenes: dict[Split, list[Scene]]) -> list[Scene]:
    return [scene for some in scenes.values() for scene in some]


def asked(scenes: dict[Split, list[Scene]], task: str, pattern: str = "") -> list[Question]:
    questions = [question for scene in every(scenes) for question in scene.questions]
    return [question for question in questions if question.task == task and re.search(pattern, question.text)]


def meant(name: str, marks: Sequence[Mark]) -> Mark:
    """The one shape an English name points at."""
    words = [word for word in name.removeprefix("the ").split() if word not in ("thing", "shape")]
    if words[0] in ENDS:
        return min(marks, key=lambda mark: ENDS[words[0]](mark.box))
    found = [mark for mark in marks if set(words) <= set(mark.label.split())]
    assert len(found) == 1, (name, marks)
    return found[0]


def expected(question: Question, marks: Sequence[Mark]) -> str:
    """The answer to an English question, from the marks alone."""
    text = question.text.rstrip("?.")
    if found := re.fullmatch(r"(?:how many|count the) (\S+)( things)?(?: are there| do you see)?", text):
        what = ENGLISH_KIND.get(found[1], found[1])
        return str(sum(what == "shapes" or what in mark.label.split() for mark in marks))
    if found := re.fullmatch(r"(?:where exactly is|give the box of) (.+)", text):
        return box_text(meant(found[1], marks).box)
    if found := re.fullmatch(r"(?:where is|in which corner is) (.+)", text):
        box = meant(found[1], marks).box
        down = "top" if box[1] + box[3] < CANVAS else "bottom"
        return f"{down} {'left' if box[0] + box[2] < CANVAS else 'right'}"
    if found := re.fullmatch(r"is (the .+) (left of|right of|above|below) (the .+)", text):
        one, other = meant(found[1], marks).box, meant(found[3], marks).box
        axis, sign = {"left of": (0, -1), "right of": (0, 1), "above": (1, -1), "below": (1, 1)}[found[2]]
        return "yes" if (one[axis] - other[axis]) * sign > 0 else "no"
    if found := re.fullmatch(r"(?:which|what) is (larger|smaller), (.+) or (.+)", text):
        end = {"larger": "largest", "smaller": "smallest"}[found[1]]
        best = min((meant(found[2], marks), meant(found[3], marks)), key=lambda mark: ENDS[end](mark.box))
        colour, kind = best.label.split()
        return colour if "thing" in found[2] else kind
    if found := re.fullmatch(r"is (the .+?) (?:a )?(\w+)", text):
        return "yes" if found[2] in meant(found[1], marks).label.split() else "no"
    if found := re.fullmatch(r"(?:which|what) (colour|shape) (?:is|does) (the .+?)(?: have)?", text):
        return meant(found[2], marks).label.split()[found[1] == "shape"]
    found = re.fullmatch(r"what is (the .+)", text)
    assert found, text
    return meant(found[1], marks).label.split()[1]


def test_the_same_numbers_make_the_same_scene() -> None:
    one, other = (shapes_scene(rng_from_name(3, "x"), "train") for _ in range(2))
    assert one.picture is not None and other.picture is not None
    assert one.picture.tobytes() == other.picture.tobytes()
    assert (one.questions, one.marks, one.caption, one.words) == (
        other.questions,
        other.marks,
        other.caption,
        other.words,
    )


def test_every_english_answer_follows_from_the_marks(scenes: dict[Split, list[Scene]]) -> None:
    for scene in every(scenes):
        for question in scene.questions:
            if question.text.isascii():
                assert question.answer == expected(question, scene.marks), question


def test_every_chinese_answer_is_an_answer_that_english_questions_have_too(
    scenes: dict[Split, list[Scene]],
) -> None:
    words = {word for _, word in COLOURS.values()} | set(KINDS.values())
    words |= {"是", "否", "左上", "左下", "右上", "右下"} | {str(count) for count in range(7)}
    chinese = [q for scene in every(scenes) for q in scene.questions if not q.text.isascii()]
    assert all(q.answer in words or q.task == "box" for q in chinese)
    assert 0.1 < len(chinese) / sum(len(scene.questions) for scene in every(scenes)) < 0.15


def test_chinese_counts_and_colours_follow_from_the_marks(scenes: dict[Split, list[Scene]]) -> None:
    english = {chinese: colour for colour, (_, chinese) in COLOURS.items()}
    english |= {chinese: kind for kind, chinese in KINDS.items()}
    checked = 0
    for scene in every(scenes):
        for question in scene.questions:
            labels = [mark.label.split() for mark in scene.marks]
            if found := re.fullmatch("有几个(.+?)(的东西)?？", question.text):
                what = english.get(found[1], "")
                assert int(question.answer) == sum(not what or what in label for label in labels)
                checked += 1
            elif (found := re.fullmatch("(.+)是什么颜色？", question.text)) and found[1] in english:
                assert [english[question.answer], english[found[1]]] in labels
                checked += 1
    assert checked > 100


def test_shapes_keep_apart_and_inside(scenes: dict[Split, list[Scene]]) -> None:
    for scene in every(scenes):
        boxes = [mark.box for mark in scene.marks]
        assert 1 <= len(boxes) <= 6
        assert all(min(box) >= 2 and max(box) <= CANVAS - 2 for box in boxes)
        assert all(20 <= box[2] - box[0] == box[3] - box[1] <= 70 for box in boxes)
        assert all(apart(one, other, 4) for one, other in combinations(boxes, 2))


def test_every_shape_fills_its_box_from_side_to_side(scenes: dict[Split, list[Scene]]) -> None:
    for scene in every(scenes)[::10]:
        pixels = np.asarray(scene.picture).astype(int)
        paper = np.median(np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]]), axis=0)
        ink = np.abs(pixels - paper).max(axis=2) > 24
        for mark in scene.marks:
            left, top, right, bottom = map(int, mark.box)
            rows, columns = np.nonzero(ink[top - 2 : bottom + 2, left - 2 : right + 2])
            edges = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
            assert np.abs(edges - [2, 2, right - left + 2, bottom - top + 2]).max() <= 1, (mark, edges)
        for left, top, right, bottom in [tuple(map(int, mark.box)) for mark in scene.marks]:
            ink[top:bottom, left:right] = False
        assert not ink.any(), "something was drawn that no mark tells of"


def test_a_shape_has_the_colour_its_mark_says(scenes: dict[Split, list[Scene]]) -> None:
    for scene in every(scenes)[::10]:
        pixels = np.asarray(scene.picture).astype(int)
        for mark in scene.marks:
            colour, kind = mark.label.split()
            left, top, right, bottom = map(int, mark.box)
            # The middle of the upper edge is ink in a ring, the middle of the box in everything else.
            row = top + max(2, (bottom - top) // 8) if kind == "ring" else (top + bottom) // 2
            seen = pixels[row, (left + right) // 2]
            nearest = min(COLOURS, key=lambda name: float(np.abs(np.array(COLOURS[name][0]) - seen).sum()))
            assert nearest == colour, mark


def test_no_layout_is_in_two_sets(scenes: dict[Split, list[Scene]]) -> None:
    for split, some in scenes.items():
        for scene in some:
            assert split_of("layout/shapes", layout_key([mark.box for mark in scene.marks])) == split


def test_training_shows_no_pair_of_colours_that_the_other_sets_begin_with(
    scenes: dict[Split, list[Scene]],
) -> None:
    for split, some in scenes.items():
        for scene in some:
            colours = list(dict.fromkeys(mark.label.split()[0] for mark in scene.marks))
            pairs = [colours_key(*pair) for pair in combinations(colours, 2)]
            for pair in pairs if split == "train" else pairs[:1]:
                assert split_of("colours", pair) == split


def test_a_scene_offers_many_questions_and_none_twice(scenes: dict[Split, list[Scene]]) -> None:
    for scene in every(scenes):
        texts = [question.text for question in scene.questions]
        assert len(texts) == len(set(texts))
        assert 6 <= len(texts) <= 16
    share = Counter(question.task for scene in every(scenes) for question in scene.questions)
    assert set(share) == {"colour", "shape", "count", "place", "size", "box"}
    assert min(share.values()) > len(every(scenes))


@pytest.mark.parametrize("pattern", ["things|的东西", "circle|square|star|triangle|cross|ring|形？"])
def test_none_to_six_of_a_colour_or_kind_are_equally_likely(
    scenes: dict[Split, list[Scene]], pattern: str
) -> None:
    share = Counter(question.answer for question in asked(scenes, "count", pattern))
    assert set(share) == set("0123456")
    assert max(share.values()) < 0.2 * share.total() and min(share.values()) > 0.09 * share.total()


def test_yes_is_as_likely_as_no(scenes: dict[Split, list[Scene]]) -> None:
    for task in ("place", "colour", "shape"):
        share = Counter(question.answer for question in asked(scenes, task, "^is "))
        assert set(share) == {"yes", "no"}
        assert 0.42 < share["yes"] / share.total() < 0.58, (task, share)


def test_no_side_is_more_often_meant_in_yes_than_in_no(scenes: dict[Split, list[Scene]]) -> None:
    for side in ("left of", "right of", "above", "below"):
        share = Counter(question.answer for question in asked(scenes, "place", side))
        assert 0.38 < share["yes"] / share.total() < 0.62, (side, share)


def test_guessing_the_commonest_answer_is_near_chance_in_every_set(
    scenes: dict[Split, list[Scene]],
) -> None:
    bars = {"colour": 0.25, "shape": 0.25, "count": 0.25, "place": 0.3}
    for split in ("train", "held-out"):
        for task, bar in bars.items():
            texts = [q for scene in scenes[split] for q in scene.questions if q.task == task]
            share = Counter(q.answer for q in texts if q.text.isascii() and not q.text.startswith("is "))
            assert share.most_common(1)[0][1] < bar * share.total(), (split, task, share)


def test_the_first_named_is_the_larger_half_of_the_time(scenes: dict[Split, list[Scene]]) -> None:
    compared = asked(scenes, "size", " or ")
    first = sum(question.answer in question.text.split(" or ")[0].split(", ")[1] for question in compared)
    assert 0.42 < first / len(compared) < 0.58


def test_captions_are_short_and_tell_pictures_apart(scenes: dict[Split, list[Scene]]) -> None:
    captions = [scene.caption for scene in every(scenes)]
    assert max(len(caption.split()) for caption in captions) <= 20
    assert len(set(captions)) > 0.85 * len(captions)


def test_the_words_hold_every_box_and_every_shape(scenes: dict[Split, list[Scene]]) -> None:
    for scene in every(scenes):
        assert len(scene.words.split()) <= 50
        for mark in scene.marks:
            assert mark.label in scene.words and box_text(mark.box) in scene.words


def test_what_has_no_room_is_not_placed() -> None:
    rng = rng_from_name(0)
    assert placed(rng, [(150, 150), (60, 60)]) is None
    assert placed(rng, [(188, 188)]) == ((2, 2, 190, 190),)


def test_a_layout_is_the_same_in_whatever_order_it_is_told() -> None:
    one, other = (10, 10, 40, 40), (100, 120, 130, 150)
    assert layout_key([one, other]) == layout_key([other, one]) != layout_key([one])
