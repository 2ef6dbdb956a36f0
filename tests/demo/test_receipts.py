"""Every answer about a receipt follows from what is printed on it."""

from __future__ import annotations

import re
from collections import Counter
from itertools import combinations, pairwise

import pytest

from demo.data.canvas import SMALL_PITCH
from demo.data.meters import meters_scene
from demo.data.price_tags import price_tags_scene
from demo.data.receipts import receipts_scene
from demo.data.scene import Scene
from demo.data.split import rng_from_name, split_of
from demo.data.strings import GOODS, NUMBER
from demo.data.tables import tables_scene
from tests.demo.printed_lines import SPLITS, check_sound, made, printed_lines

Scenes = dict[str, list[Scene]]


@pytest.fixture(scope="module")
def scenes() -> Scenes:
    return {split: made(receipts_scene, split, 200) for split in SPLITS}


def printed(scene: Scene) -> dict[str, str]:
    """What each line costs, from top to bottom."""
    lines: dict[str, str] = {}
    for text, _ in printed_lines(scene):
        name, price = text.split()
        lines[name] = price
    return lines


def cents(price: str) -> int:
    return int(price.replace(".", ""))


def expected(text: str, lines: dict[str, str]) -> str:
    goods = {name: price for name, price in lines.items() if name != "TOTAL"}
    names, named = list(goods), [name for name in goods if name in text.replace("?", "").split()]
    for word, answer in (
        ("total", lines["TOTAL"]),
        ("how many", str(len(goods))),
        ("cheapest", min(names, key=lambda name: cents(goods[name]))),
        ("most", max(names, key=lambda name: cents(goods[name]))),
        ("first", names[0]),
        ("last", names[-1]),
        ("what costs", next((name for name in names if text.endswith(f" {goods[name]}?")), "")),
    ):
        if word in text:
            return answer
    return goods[named[0]]


def test_the_same_numbers_give_the_same_receipt() -> None:
    one, other = (receipts_scene(rng_from_name(3, "receipts", 5), "train") for _ in range(2))
    assert one.picture is not None
    assert other.picture is not None
    assert one.picture.tobytes() == other.picture.tobytes()
    assert (one.questions, one.marks, one.words) == (other.questions, other.marks, other.words)


@pytest.mark.parametrize("split", SPLITS)
def test_nothing_is_cut_or_covered(scenes: Scenes, split: str) -> None:
    for scene in scenes[split]:
        check_sound(scene)


@pytest.mark.parametrize("split", SPLITS)
def test_the_total_is_the_sum_and_every_price_is_of_its_set(scenes: Scenes, split: str) -> None:
    for scene in scenes[split]:
        lines = printed(scene)
        assert set(lines) <= {*GOODS, "TOTAL"}
        assert cents(lines["TOTAL"]) == sum(cents(price) for name, price in lines.items() if name != "TOTAL")
        assert all(split_of(NUMBER, price) == split for price in lines.values())
        assert len(set(lines.values())) == len(lines)


@pytest.mark.parametrize("split", SPLITS)
def test_every_answer_follows_from_the_print(scenes: Scenes, split: str) -> None:
    for scene in scenes[split]:
        lines = printed(scene)
        assert len(scene.questions) >= 11
        for question in scene.questions:
            assert question.answer == expected(question.text, lines), question


@pytest.mark.parametrize("split", SPLITS)
def test_lines_are_evenly_spaced_and_far_enough_apart_to_be_read(scenes: Scenes, split: str) -> None:
    for scene in scenes[split]:
        middles = [(box[1] + box[3]) / 2 for _, box in printed_lines(scene)]
        *steps, last = (round(below - above, 6) for above, below in pairwise(middles))
        assert set(steps) == {24}
        assert last == steps[0] + SMALL_PITCH, "a little more is left above the total"


@pytest.mark.parametrize("split", SPLITS)
def test_all_print_is_in_its_place_on_the_strip(scenes: Scenes, split: str) -> None:
    for scene in scenes[split]:
        (strip,) = (mark.box for mark in scene.marks if mark.label == "receipt")
        lines = printed_lines(scene)
        assert {box[0] - strip[0] for _, box in lines} == {lines[0][1][0] - strip[0]}
        assert {strip[2] - box[2] for _, box in lines} == {strip[2] - lines[0][1][2]}
        above, below = lines[0][1][1] - strip[1], strip[3] - lines[-1][1][3]
        assert above > 3 and abs(above - below) < 0.01, "the print is as far from the top as from the bottom"


def test_the_words_tell_the_whole_receipt(scenes: Scenes) -> None:
    for scene in scenes["train"]:
        for name, price in printed(scene).items():
            assert f"{'total' if name == 'TOTAL' else name} {price}" in scene.words


def test_counts_and_the_place_of_the_cheapest_are_spread(scenes: Scenes) -> None:
    every = [printed(scene) for split in SPLITS for scene in scenes[split]]
    counts = Counter(len(lines) - 1 for lines in every)
    assert set(counts) == {3, 4, 5}
    assert min(counts.values()) > 0.25 * len(every)
    cheapest = Counter(
        min(range(3), key=lambda index: cents(list(lines.values())[index]))
        for lines in every
        if len(lines) == 4
    )
    assert min(cheapest.values()) > 0.2 * counts[3]


def numbers_of(scene: Scene) -> set[str]:
    """Prices, totals, readings (a minus is no part of the number) and the cells of tables that are asked for."""
    task = scene.questions[0].task
    if task == "meter":
        return set(re.findall(r"[\d.]+", "".join(mark.label for mark in scene.marks)))
    if task == "table":
        return {question.answer for question in scene.questions if re.search(r"row \d", question.text)}
    return {word for text, _ in printed_lines(scene) for word in text.split() if "." in word}


def test_no_number_of_a_set_is_printed_in_a_picture_of_another() -> None:
    makers = (receipts_scene, price_tags_scene, meters_scene, tables_scene)
    printed_in = {
        split: [set[str]().union(*map(numbers_of, made(maker, split, 150))) for maker in makers]
        for split in SPLITS
    }
    for split, kinds in printed_in.items():
        assert min(map(len, kinds)) > 50
        assert {split_of(NUMBER, number) for kind in kinds for number in kind} == {split}
    for one, other in combinations(SPLITS, 2):
        assert set[str]().union(*printed_in[one]).isdisjoint(set[str]().union(*printed_in[other]))
