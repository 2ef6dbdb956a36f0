from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import get_args

import pytest

from demo.data.dialogue import (
    dialogue_scene,
)
from demo.data.scene import Question, Scene
from demo.data.split import Split, rng_from_name, split_of
from demo.data.strings import NUMBER

SPLITS: tuple[Split, ...] = get_args(Split)
SCENES = 400  # of each set
PLACES = ("first", "second", "third", "fourth", "fifth", "sixth")
CHINESE_DIGITS = "零一二三四五六七八九"


def scenes_of(split: Split) -> list[Scene]:
    return [dialogue_scene(rng_from_name(7, split, index), split) for index in range(SCENES)]


@pytest.fixture(scope="module")
def scenes() -> dict[Split, list[Scene]]:
    return {split: scenes_of(split) for split in SPLITS}


@pytest.fixture(scope="module")
def questions(scenes: dict[Split, list[Scene]]) -> list[Question]:
    return [question for split in SPLITS for scene in scenes[split] for question in scene.questions]


def asked(questions: Iterable[Question], pattern: str) -> list[tuple[re.Match[str], str]]:
    """What of the questions reads like `pattern`, with the answers; there is always something."""
    found = [(re.fullmatch(pattern, question.text), question.answer) for question in questions]
    matches = [(match, answer) for match, answer in found if match is not None]
    assert matches, pattern
    return matches


def entries_of(line: str) -> list[tuple[str, str]]:
    pairs = [entry.split(" ") for entry in line.split(", ")]
    return [(name, value) for name, value in pairs]


def test_the_same_generator_gives_the_same_scene() -> None:
    assert scenes_of("train")[:50] == scenes_of("train")[:50]


def test_a_dialogue_has_no_picture_and_four_to_eight_different_questions(
    scenes: dict[Split, list[Scene]],
) -> None:
    for scene in scenes["train"]:
        assert (scene.picture, scene.marks, scene.caption, scene.words) == (None, (), "", "")
        assert 4 <= len(scene.questions) <= 8
        assert len({question.text for question in scene.questions}) == len(scene.questions)
        assert {question.task for question in scene.questions} == {"dialogue"}


def test_no_question_has_two_answers(questions: list[Question]) -> None:
    answers: dict[str, str] = {}
    for question in questions:
        assert answers.setdefault(question.text, question.answer) == question.answer


def test_a_copy_is_what_was_to_be_copied(questions: list[Question]) -> None:
    for match, answer in asked(questions, r"(?:repeat |write )?([A-Z0-9]+)(?: again)?"):
        assert answer == match[1]


def test_three_symbols_backwards_are_the_answer(questions: list[Question]) -> None:
    for match, answer in asked(questions, r"(?:write )?([A-Z0-9]{3}) backwards"):
        assert "".join(reversed(answer)) == match[1]


def test_training_says_no_number_that_pictures_of_another_set_are_asked_about() -> None:
    said = Counter[str]()
    for index in range(3000):
        for question in dialogue_scene(rng_from_name(8, index), "train").questions:
            said.update(re.findall(r"(?<![\w.])\d{2,}(?![\w.])", f"{question.text} {question.answer}"))
    assert len(said) > 300
    assert {split_of(NUMBER, number) for number in said} == {"train"}
