"""Every answer about a receipt follows from what is printed on it."""

from __future__ import annotations

from collections import Counter

import pytest

from demo.data.receipts import receipts_scene
from demo.data.scene import Scene
from demo.data.split import rng_from_name, split_of
from demo.data.strings import GOODS
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
        assert all(split_of("price", price) == split for price in lines.values())
        assert len(set(lines.values())) == len(lines)


@pytest.mark.parametrize("split", SPLITS)
def test_every_answer_follows_from_the_print(scenes: Scenes, split: str) -> None:
    for scene in scenes[split]:
        lines = printed(scene)
        assert len(scene.questions) >= 11
        for question in scene.questions:
            assert question.answer == expected(question.text, lines), question


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
