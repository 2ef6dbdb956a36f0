"""What the signs and the small print say is what was drawn, and no set ever shows another's strings."""

from __future__ import annotations

import re
from itertools import pairwise

import numpy as np
import pytest

from demo.data.canvas import SMALL_PITCH
from demo.data.codes import INK_NAMES, KEYS, PANELS, codes_scene, drawn_colours
from demo.data.scene import Scene
from demo.data.shape import colours_key
from demo.data.split import rng_from_name, split_of
from demo.data.strings import ALPHABET, GOODS, WORDS, words_of
from tests.demo.printed_lines import SPLITS, check_sound, glyphs_of, made, printed_lines

Scenes = dict[str, list[Scene]]


@pytest.fixture(scope="module")
def scenes() -> Scenes:
    return {split: made(codes_scene, split, 250) for split in SPLITS}


def large_of(scene: Scene) -> list[str]:
    return [text for text, box in printed_lines(scene) if box[3] - box[1] >= 18]


def small_of(scene: Scene) -> list[str]:
    return [text for text, box in printed_lines(scene) if box[3] - box[1] < 18]


def test_the_same_numbers_give_the_same_scene() -> None:
    one, other = (codes_scene(rng_from_name(3, "codes", 5), "train") for _ in range(2))
    assert one.picture is not None
    assert other.picture is not None
    assert one.picture.tobytes() == other.picture.tobytes()
    assert (one.questions, one.marks, one.words) == (other.questions, other.marks, other.words)


@pytest.mark.parametrize("split", SPLITS)
def test_nothing_is_cut_or_covered(scenes: Scenes, split: str) -> None:
    for scene in scenes[split]:
        check_sound(scene)


def test_a_drill_is_two_signs_that_have_to_be_told_apart() -> None:
    drills = [codes_scene(rng_from_name(3, "signs", index), "train", is_drill=True) for index in range(60)]
    for scene in drills:
        check_sound(scene)
        assert (len(large_of(scene)), len(small_of(scene))) == (2, 0)
        assert {question.task for question in scene.questions} == {"code"}
        assert {question.answer for question in scene.questions} == set(large_of(scene))
    signs = [mark.label for scene in drills for mark in scene.marks if mark.label.endswith(" sign")]
    assert 0.8 * 2 * len(drills) < len(signs) < 2 * len(drills)


def test_large_print_is_large_and_small_print_small(scenes: Scenes) -> None:
    for scene in scenes["train"]:
        for mark in glyphs_of(scene):
            width, height = mark.box[2] - mark.box[0], mark.box[3] - mark.box[1]
            large = width in (24, 36) and height >= 20
            assert large or (abs(width - SMALL_PITCH) < 0.01 and height < 10.1)


@pytest.mark.parametrize("split", SPLITS)
def test_every_code_and_word_is_of_its_set(scenes: Scenes, split: str) -> None:
    for scene in scenes[split]:
        for text in large_of(scene) + [line.split()[1] for line in small_of(scene)]:
            assert 4 <= len(text) <= 6
            if text in WORDS:
                assert split_of("word", text) == split
            else:
                assert set(text) <= set(ALPHABET)
                assert split_of("code", text) == split


def test_two_panels_are_a_pair_of_the_set(scenes: Scenes) -> None:
    seen = 0
    for split in SPLITS:
        for scene in scenes[split]:
            colours = [mark.label.split()[0] for mark in scene.marks if mark.label.endswith(" sign")]
            if len(colours) == 2:
                assert split_of("colours", colours_key(*colours)) == split
                seen += 1
    assert seen > 30


def test_no_sign_is_written_in_an_ink_with_the_name_of_a_panel(scenes: Scenes) -> None:
    seen = 0
    for scene in (scene for split in SPLITS for scene in scenes[split]):
        pixels = np.asarray(scene.picture).astype(int)
        panels = [mark for mark in scene.marks if mark.label.endswith(" sign")]
        for mark in glyphs_of(scene):
            left, top, right, bottom = (round(side) for side in mark.box)
            if bottom - top < 18 or any(box[1] < top < box[3] for box in (panel.box for panel in panels)):
                continue
            glyph = pixels[top:bottom, left:right].reshape(-1, 3)
            darkest = glyph[np.argsort(glyph.sum(-1))[:8]].mean(0)
            ink = min(INK_NAMES, key=lambda ink: float(np.abs(darkest - ink).sum()))
            assert f"{INK_NAMES[ink]} sign" not in [panel.label for panel in panels], scene.words
            seen += bool(panels)
    assert seen > 200


def test_answers_about_the_small_print_are_its_lines(scenes: Scenes) -> None:
    for scene in scenes["train"]:
        lines = small_of(scene)
        values = dict(line.split() for line in lines)
        assert set(values) <= set(KEYS)
        asked = {
            question.text: question.answer for question in scene.questions if question.task == "small_print"
        }
        assert bool(asked) == bool(lines)
        for text, answer in asked.items():
            if key := re.fullmatch(r"(?:what is the|what does the|read the) ([A-Z]+)(?: say\?|\?|\.)", text):
                assert answer == values[key[1]]
            elif "first" in text or "last" in text:
                assert answer == lines[0 if "first" in text else -1]
            else:
                assert [answer] == lines


def test_answers_about_the_signs_are_their_text(scenes: Scenes) -> None:
    for scene in scenes["train"]:
        large = large_of(scene)
        signs = [(mark.label.split()[0], mark.box) for mark in scene.marks if mark.label.endswith(" sign")]
        rows = {text: box for text, box in printed_lines(scene) if text in large}
        for question in scene.questions:
            if question.task != "code":
                continue
            which, *what = re.findall(r"the (\w+) (\w+)", question.text)[0]
            if which in PANELS:
                box = dict(signs)[which]
                row = rows[question.answer]
                assert box[1] < row[1] and row[3] < box[3]
                assert box[0] < row[0] + 3 and row[2] - 3 < box[2], (
                    "cells of wide print have air of their own"
                )
            elif which == "large":
                same = [text for text in large if what == ["sign"] or (text in WORDS) == (what == ["word"])]
                assert same == [question.answer]
            else:
                assert question.answer == large[0 if which == "top" else 1]
                assert len(large) == 2
                assert rows[large[0]][1] < rows[large[1]][1]


def test_the_words_tell_everything_that_is_asked(scenes: Scenes) -> None:
    for scene in scenes["validation"]:
        for question in scene.questions:
            assert question.answer in scene.words


def test_lines_are_far_enough_apart_to_be_read(scenes: Scenes) -> None:
    for scene in scenes["train"]:
        boxes = sorted((box for _, box in printed_lines(scene)), key=lambda box: box[1])
        for above, below in pairwise(boxes):
            assert below[1] - above[3] >= 3
            if max(box[3] - box[1] for box in (above, below)) < 18:
                assert below[1] - above[1] > 23.99


def test_large_symbols_never_touch_their_neighbours(scenes: Scenes) -> None:
    """Somewhere between two of them, on panels (other paper is dirty), is a column without ink."""
    seen = 0
    for scene in scenes["train"]:
        pixels = np.asarray(scene.picture).astype(int)
        panels = [mark.box for mark in scene.marks if mark.label.endswith(" sign")]
        for mark, after in pairwise(glyphs_of(scene)):
            _, top, right, bottom = (round(side) for side in mark.box)
            if mark.box[2] == after.box[0] and any(box[1] < top and bottom < box[3] for box in panels):
                between = pixels[top:bottom, right - 2 : right + 2]
                assert np.ptp(between, axis=0).max(-1).min() < 60, (mark, after)
                seen += 1
    assert seen > 300


def test_scenes_with_either_print_alone_and_with_both_are_common(scenes: Scenes) -> None:
    kinds = [(bool(large_of(scene)), bool(small_of(scene))) for scene in scenes["train"]]
    for kind in ((True, False), (False, True), (True, True)):
        assert kinds.count(kind) > 25


def test_symbols_are_spread_evenly() -> None:
    scenes = made(codes_scene, "train", 300)
    text = "".join(line.split()[1] for scene in scenes for line in small_of(scene))
    for symbol in ALPHABET:
        assert abs(text.count(symbol) / len(text) - 1 / len(ALPHABET)) < 0.015


def test_goods_are_no_words_of_the_signs() -> None:
    assert not set(GOODS) & set(WORDS)
    assert sorted(len(words_of(split)) > 10 for split in SPLITS) == [True] * 3


def test_every_split_has_pairs_of_panels() -> None:
    for split in SPLITS:
        colours = drawn_colours(np.random.default_rng(0), split, 2)
        assert split_of("colours", colours_key(*colours)) == split
