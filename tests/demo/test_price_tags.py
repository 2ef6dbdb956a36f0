"""Every answer about price tags follows from what is printed on the cards and where they lie."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pytest

from demo.data.codes import PANELS
from demo.data.price_tags import price_tags_scene
from demo.data.scene import Box, Scene
from demo.data.shape import colours_key
from demo.data.split import rng_from_name, split_of
from demo.data.strings import GOODS, NUMBER
from tests.demo.printed_lines import SPLITS, check_sound, glyphs_of, made, printed_words

Scenes = dict[str, list[Scene]]


@dataclass
class Card:
    colour: str
    box: Box
    name: str = ""
    price: str = ""
    on_sale: bool = False


@pytest.fixture(scope="module")
def scenes() -> Scenes:
    return {split: made(price_tags_scene, split, 200) for split in SPLITS}


def cards_of(scene: Scene) -> list[Card]:
    cards = [Card(mark.label[:-4], mark.box) for mark in scene.marks if mark.label.endswith(" tag")]
    for text, box in printed_words(scene):
        (card,) = (c for c in cards if c.box[0] < box[0] < c.box[2] and c.box[1] < box[1] < c.box[3])
        assert box[2] < card.box[2] and box[3] < card.box[3]
        if text == "SALE":
            card.on_sale = True
        elif text in GOODS:
            card.name = text
        else:
            card.price = text
    return cards


def expected(text: str, cards: list[Card]) -> str:
    words = re.findall(r"[\w.]*\w", text)
    if "cheaper" in text or "more" in text:
        return sorted(cards, key=lambda card: card.price)[0 if "cheaper" in text else 1].name
    if "on sale" in text:
        return next(card.name for card in cards if card.on_sale)
    if text.startswith("what costs"):
        return next(card.name for card in cards if card.price == words[-1])
    named = [card for card in cards if card.name in words]
    if named:
        return named[0].colour if "colour" in text else named[0].price
    card = meant(words, cards)
    return card.name if text.startswith(("what is sold on", "which item is on")) else card.price


def meant(words: list[str], cards: list[Card]) -> Card:
    for card in cards:
        if card.colour in words:
            return card
    axis = 0 if {"left", "right"} & set(words) else 1
    ordered = sorted(cards, key=lambda card: card.box[axis])
    return ordered[-1 if {"right", "bottom"} & set(words) else 0]


def test_the_same_numbers_give_the_same_tags() -> None:
    one, other = (price_tags_scene(rng_from_name(3, "tags", 5), "train") for _ in range(2))
    assert one.picture is not None
    assert other.picture is not None
    assert one.picture.tobytes() == other.picture.tobytes()
    assert (one.questions, one.marks, one.words) == (other.questions, other.marks, other.words)


@pytest.mark.parametrize("split", SPLITS)
def test_nothing_is_cut_or_covered(scenes: Scenes, split: str) -> None:
    for scene in scenes[split]:
        check_sound(scene)


@pytest.mark.parametrize("split", SPLITS)
def test_every_answer_follows_from_the_cards(scenes: Scenes, split: str) -> None:
    for scene in scenes[split]:
        cards = cards_of(scene)
        assert len(scene.questions) >= 5
        for question in scene.questions:
            assert question.answer == expected(question.text, cards), question


@pytest.mark.parametrize("split", SPLITS)
def test_prices_and_pairs_of_colours_are_of_their_set(scenes: Scenes, split: str) -> None:
    for scene in scenes[split]:
        cards = cards_of(scene)
        assert all(split_of(NUMBER, card.price) == split for card in cards)
        assert all(card.colour in PANELS for card in cards)
        if len(cards) == 2:
            assert split_of("colours", colours_key(cards[0].colour, cards[1].colour)) == split
            assert cards[0].price != cards[1].price and cards[0].name != cards[1].name


def test_a_name_is_never_asked_for_as_if_there_were_no_price_beside_it(scenes: Scenes) -> None:
    texts = [question.text for scene in scenes["train"] for question in scene.questions]
    assert not [text for text in texts if text.startswith(("what is on the", "read"))]
    assert [text for text in texts if text.startswith("what is sold on the")]


def test_prices_are_large_but_where_two_cards_lie_side_by_side(scenes: Scenes) -> None:
    for scene in scenes["train"]:
        pitches = {mark.box[2] - mark.box[0] for mark in glyphs_of(scene) if mark.label == "."}
        cards = sorted(card.box for card in cards_of(scene))
        beside = len(cards) == 2 and cards[0][2] < cards[1][0]
        assert pitches <= ({12} if beside else {24, 36} if len(cards) == 1 else {24})


def test_neither_place_nor_sale_tells_the_cheaper_one(scenes: Scenes) -> None:
    pairs = [cards for split in SPLITS for scene in scenes[split] if len(cards := cards_of(scene)) == 2]
    first = sum(cards[0].price < cards[1].price for cards in pairs)
    assert 0.42 < first / len(pairs) < 0.58
    on_sale = [cards for cards in pairs if cards[0].on_sale or cards[1].on_sale]
    cheap = sum(min(cards, key=lambda card: card.price).on_sale for cards in on_sale)
    assert 0.4 < cheap / len(on_sale) < 0.6
