from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from itertools import combinations
from typing import get_args

import numpy as np
import pytest

from demo.data.dialogue import (
    CHINESE_WORDS,
    COLOURED_THINGS,
    KINDS,
    MANNERS,
    NO_CHINESE_PICTURE,
    NO_PICTURE,
    OPPOSITES,
    chinese_from_number,
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


@pytest.mark.parametrize(
    "pattern", [r"what is the (\w+) symbol of (\w+)\?", r"(?P<code>\w+): the (?P<place>\w+) symbol\?"]
)
def test_the_symbol_asked_for_is_the_answer(pattern: str, questions: list[Question]) -> None:
    for match, answer in asked(questions, pattern):
        place, code = (match["place"], match["code"]) if "code" in match.groupdict() else match.groups()
        assert answer == code[-1 if place == "last" else PLACES.index(place)]


def test_symbols_are_counted(questions: list[Question]) -> None:
    for match, answer in asked(questions, r"how many symbols are in (\w+)\?"):
        assert int(answer) == len(match[1])


@pytest.mark.parametrize(("word", "chosen"), [("larger", max), ("smaller", min)])
def test_two_numbers_are_compared(
    word: str, chosen: Callable[[int, int], int], questions: list[Question]
) -> None:
    found = asked(questions, rf"which is {word}, (\d+) or (\d+)\?")
    for match, answer in found:
        assert match[1] != match[2]
        assert int(answer) == chosen(int(match[1]), int(match[2]))
    firsts = sum(answer == match[1] for match, answer in found)
    assert 0.3 < firsts / len(found) < 0.7


def test_yes_is_as_frequent_as_no(questions: list[Question]) -> None:
    found = asked(questions, r"is (\d+) larger than (\d+)\?")
    for match, answer in found:
        assert answer == ("yes" if int(match[1]) > int(match[2]) else "no")
    assert 0.35 < sum(answer == "yes" for _, answer in found) / len(found) < 0.65


def test_sums_are_right(questions: list[Question]) -> None:
    for match, answer in asked(questions, r"(?:what is )?(\d+) \+ (\d+)\??"):
        assert int(answer) == int(match[1]) + int(match[2])


def test_an_opposite_of_an_opposite_is_the_word_itself(questions: list[Question]) -> None:
    other = {word: pair[1 - index] for pair in OPPOSITES for index, word in enumerate(pair)}
    assert len(other) == 2 * len(OPPOSITES)  # no word has two opposites
    for match, answer in asked(questions, r"(?:what is the )?opposite of (\w+)\??"):
        assert other[answer] == match[1]


def test_common_things_have_their_colours(questions: list[Question]) -> None:
    for match, answer in asked(questions, r"(?:what colour is|the colour of) ([a-z ]+)\?"):
        assert answer == COLOURED_THINGS.get(match[1], NO_PICTURE)
    assert COLOURED_THINGS["a lemon"] == "yellow"
    assert set(COLOURED_THINGS.values()) <= set(CHINESE_WORDS)


def test_a_looked_up_value_stands_beside_its_name(questions: list[Question]) -> None:
    pattern = r"([A-Z0-9 ,.]+)\. (?:how much is|what does|what is|read) the (\w+)(?: cost)?[?.]"
    found = asked(questions, pattern)
    places = Counter[float]()
    for match, answer in found:
        entries = entries_of(match[1])
        assert dict(entries)[match[2]] == answer
        assert len({name for name, _ in entries}) == len({value for _, value in entries}) == len(entries)
        places[entries.index((match[2], answer)) / (len(entries) - 1)] += 1
    assert 0.2 < places[0.0] / len(found) < 0.5
    assert 0.2 < places[1.0] / len(found) < 0.5


def test_a_name_is_looked_up_by_its_value(questions: list[Question]) -> None:
    for match, answer in asked(questions, r"([A-Z0-9 ,.]+)\. (?:what costs|where is) (\S+)\?"):
        assert dict(entries_of(match[1]))[answer] == match[2]


def test_items_of_a_list_are_counted(questions: list[Question]) -> None:
    found = asked(questions, r"([A-Z0-9 ,.]+)\. how many items are there\?")
    for match, answer in found:
        assert int(answer) == len(entries_of(match[1]))
    assert {answer for _, answer in found} == {"2", "3", "4", "5"}


def test_looking_up_comes_often(questions: list[Question]) -> None:
    looked_up = sum(bool(re.match(r"[A-Z0-9]+ [A-Z0-9.]+, ", question.text)) for question in questions)
    assert 0.25 < looked_up / len(questions) < 0.6


@pytest.mark.parametrize(
    ("number", "written"),
    [(0, "零"), (5, "五"), (10, "十"), (12, "十二"), (20, "二十"), (37, "三十七"), (99, "九十九")],
)
def test_numbers_are_written_in_chinese(number: int, written: str) -> None:
    assert chinese_from_number(number) == written


def test_every_number_below_a_hundred_is_written_differently() -> None:
    assert len({chinese_from_number(number) for number in range(100)}) == 100


def test_chinese_numbers_are_read_both_ways(questions: list[Question]) -> None:
    for match, answer in asked(questions, r"(?:what is )?(\d+) in chinese\?"):
        assert number_from_chinese(answer) == int(match[1])
    for match, answer in asked(questions, rf"(?:what number is )?([{CHINESE_DIGITS}十]+)(?:是多少？|\?)"):
        assert number_from_chinese(match[1]) == int(answer)


def number_from_chinese(written: str) -> int:
    if "十" not in written:
        return CHINESE_DIGITS.index(written)
    tens, ones = written.split("十")
    return 10 * (CHINESE_DIGITS.index(tens) if tens else 1) + (CHINESE_DIGITS.index(ones) if ones else 0)


def test_colours_and_shapes_are_translated_both_ways(questions: list[Question]) -> None:
    assert len(set(CHINESE_WORDS.values())) == len(CHINESE_WORDS)
    for match, answer in asked(questions, r"(?:what is )?([a-z]+) in chinese\?"):
        assert CHINESE_WORDS[match[1]] == answer
    for match, answer in asked(questions, r"(?:what is )?(\S+) in english\?"):
        assert CHINESE_WORDS[answer] == match[1]


def test_manners_and_missing_pictures_have_fixed_answers(questions: list[Question]) -> None:
    answers = {question.text: question.answer for question in questions}
    assert answers["hello"] == "hello, ask me about a picture."
    assert answers["what is in the picture?"] == NO_PICTURE
    assert answers["图片里有什么？"] == NO_CHINESE_PICTURE
    assert set(MANNERS) <= set(answers)


def test_no_code_price_sum_or_comparison_is_in_two_sets(scenes: dict[Split, list[Scene]]) -> None:
    found = {split: strings_of(scenes[split]) for split in SPLITS}
    assert all(len(strings) > 300 for strings in found.values())
    for one, other in combinations(SPLITS, 2):
        assert found[one].isdisjoint(found[other])


def strings_of(scenes: Iterable[Scene]) -> set[str]:
    """Everything of a dialogue that must be new in every set."""
    texts = [question.text for scene in scenes for question in scene.questions]
    # Names of fields, of goods and of the words of a list are known ones; a code has a digit.
    codes = {code for text in texts for code in re.findall(r"\b(?=\w*\d)(?=\w*[A-Z])\w{4,}\b", text)}
    prices = {price for text in texts for price in re.findall(r"\d+\.\d\d", text)}
    pairs = [re.search(r"(\d+) (\+|or|larger than) (\d+)", text) for text in texts]
    keys = {f"{pair[2] == '+'} {sorted((int(pair[1]), int(pair[3])))}" for pair in pairs if pair}
    return codes | prices | keys


def test_every_kind_of_question_and_answer_is_short_and_stripped() -> None:
    rng = np.random.Generator(np.random.PCG64(3))
    for maker in set(KINDS):
        text, answer = maker(rng, "held-out")
        assert text == text.strip()
        assert answer == answer.strip()
        assert 0 < len(answer) <= 60


def test_few_lowercase_words_are_used(questions: list[Question]) -> None:
    texts = [text for question in questions for text in (question.text, question.answer)]
    assert len({word for text in texts for word in re.findall(r"[a-z]+", text)}) < 150


def test_training_says_no_number_that_pictures_of_another_set_are_asked_about() -> None:
    said = Counter[str]()
    for index in range(3000):
        for question in dialogue_scene(rng_from_name(8, index), "train").questions:
            said.update(re.findall(r"(?<![\w.])\d{2,}(?![\w.])", f"{question.text} {question.answer}"))
    assert len(said) > 300
    assert {split_of(NUMBER, number) for number in said} == {"train"}
