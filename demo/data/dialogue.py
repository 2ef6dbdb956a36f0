"""Questions without a picture: what a decoder that reads must be able to do with text alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import numpy as np

from demo.data.scene import Question, Scene
from demo.data.shape import COLOURS
from demo.data.shape import KINDS as SHAPES
from demo.data.split import Split, drawn
from demo.data.strings import (
    ALPHABET,
    drawn_code,
    drawn_goods,
    drawn_length,
    drawn_prices,
    may_be_said,
    price_text,
    words_of,
)

Option = TypeVar("Option")
Maker = Callable[[np.random.Generator, Split], tuple[str, str]]

FIELDS = "LOT REF ID TAG BOX BAY PART UNIT TANK PUMP LINE RACK SLOT PORT ZONE DOOR".split()
ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth")
OPPOSITES = (
    ("hot", "cold"),
    ("big", "small"),
    ("left", "right"),
    ("high", "low"),
    ("open", "closed"),
    ("day", "night"),
    ("full", "empty"),
    ("old", "new"),
    ("yes", "no"),
    ("first", "last"),
    ("above", "below"),
)
COLOURED_THINGS: Mapping[str, str] = {
    "a lemon": "yellow",
    "a banana": "yellow",
    "the sun": "yellow",
    "the sky": "blue",
    "the sea": "blue",
    "grass": "green",
    "a leaf": "green",
    "a frog": "green",
    "snow": "white",
    "milk": "white",
    "salt": "white",
    "coal": "black",
    "the night": "black",
    "blood": "red",
    "a tomato": "red",
    "a cherry": "red",
    "a carrot": "orange",
    "an orange": "orange",
    "a plum": "purple",
    "a grape": "purple",
}
CHINESE_DIGITS = "零一二三四五六七八九"
CHINESE_WORDS: Mapping[str, str] = {**{word: names[1] for word, names in COLOURS.items()}, **SHAPES}
GREETING = "hello, ask me about a picture."
CHINESE_GREETING = "你好，请问我图片里有什么。"
NO_PICTURE = "there is no picture."
NO_CHINESE_PICTURE = "没有图片。"
MANNERS: Mapping[str, str] = {
    "hello": GREETING,
    "hello!": GREETING,
    "hi": GREETING,
    "good day": GREETING,
    "who are you?": "a small model that reads pictures.",
    "what are you?": "a small model that reads pictures.",
    "what can you do?": "read codes, prices, meters and clocks in pictures.",
    "thank you": "you are welcome.",
    "thank you!": "you are welcome.",
    "bye": "goodbye.",
    "goodbye": "goodbye.",
    "你好": CHINESE_GREETING,
    "你好！": CHINESE_GREETING,
    "你是谁？": "看图片的小模型。",
    "谢谢": "不客气。",
    "再见": "再见。",
}
PICTURE_QUESTIONS = (
    "what is in the picture?",
    "what do you see?",
    "describe the picture.",
    "read the text.",
    "what is the code?",
    "what time is it?",
    "what does the meter read?",
    "what is the total?",
    "what colour is the circle?",
    "what colour is the square?",
    "what colour is the star?",
    "how many circles are there?",
    "how many triangles are there?",
    "where is the circle?",
)
CHINESE_PICTURE_QUESTIONS = ("图片里有什么？", "圆形是什么颜色？", "有几个圆形？", "现在几点？")


def dialogue_scene(rng: np.random.Generator, split: Split) -> Scene:
    """4 to 8 questions of mixed kinds, none asked twice."""
    wanted = int(rng.integers(4, 9))
    found: dict[str, str] = {}
    while len(found) < wanted:
        text, answer = one_of(rng, KINDS)(rng, split)
        found.setdefault(text, answer)
    questions = tuple(Question("dialogue", text, answer) for text, answer in found.items())
    return Scene(None, "", "", (), questions)


def one_of(rng: np.random.Generator, options: Sequence[Option]) -> Option:
    return options[int(rng.integers(len(options)))]


def some_of(rng: np.random.Generator, options: Sequence[Option], count: int) -> list[Option]:
    return [options[int(index)] for index in rng.permutation(len(options))[:count]]


def symbols(rng: np.random.Generator, count: int) -> str:
    return "".join(one_of(rng, ALPHABET) for _ in range(count))


def code(rng: np.random.Generator, split: Split) -> str:
    return drawn_code(rng, split, drawn_length(rng))


def unequal(rng: np.random.Generator, split: Split) -> tuple[int, ...]:
    limit = one_of(rng, (100, 1000))

    def draw() -> tuple[int, int]:
        first, step = int(rng.integers(limit)), int(rng.integers(1, limit))
        return first, (first + step) % limit

    return known(split, lambda: drawn(split, "dialogue/unequal", draw, key_of_pair))


def known(split: Split, draw: Callable[[], tuple[int, ...]]) -> tuple[int, ...]:
    """Draws again for training while one of the numbers is one that pictures of another set are asked about."""
    while True:
        numbers = draw()
        if all(may_be_said(split, str(number)) for number in numbers):
            return numbers


def key_of_pair(pair: tuple[int, int]) -> str:
    """A pair and the same pair the other way round belong to the same set."""
    return "/".join(map(str, sorted(pair)))


def copied(rng: np.random.Generator, split: Split) -> tuple[str, str]:
    text = code(rng, split)
    return one_of(rng, (f"repeat {text}", f"write {text}", f"{text} again")), text


def backwards(rng: np.random.Generator, split: Split) -> tuple[str, str]:
    def draw() -> str:
        while True:
            text = symbols(rng, 3)
            if may_be_said(split, text) and may_be_said(split, text[::-1]):
                return text

    text = drawn(split, "dialogue/backwards", draw)
    return one_of(rng, (f"write {text} backwards", f"{text} backwards")), text[::-1]


def nth_symbol(rng: np.random.Generator, split: Split) -> tuple[str, str]:
    text = code(rng, split)
    index = int(rng.integers(len(text)))
    is_last = index == len(text) - 1 and rng.integers(2)
    ordinal = "last" if is_last else ORDINALS[index]
    asked = (f"what is the {ordinal} symbol of {text}?", f"{text}: the {ordinal} symbol?")
    return one_of(rng, asked), text[index]


def length(rng: np.random.Generator, split: Split) -> tuple[str, str]:
    text = drawn_code(rng, split, int(rng.integers(2, 9)))
    return f"how many symbols are in {text}?", str(len(text))


def larger(rng: np.random.Generator, split: Split) -> tuple[str, str]:
    first, second = unequal(rng, split)
    if rng.integers(2):
        return f"which is larger, {first} or {second}?", str(max(first, second))
    return f"which is smaller, {first} or {second}?", str(min(first, second))


def is_larger(rng: np.random.Generator, split: Split) -> tuple[str, str]:
    first, second = unequal(rng, split)
    return f"is {first} larger than {second}?", "yes" if first > second else "no"


def total(rng: np.random.Generator, split: Split) -> tuple[str, str]:
    def draw() -> tuple[int, int]:
        return int(rng.integers(20)), int(rng.integers(20))

    def summed() -> tuple[int, int, int]:
        first, second = drawn(split, "dialogue/sum", draw, key_of_pair)
        return first, second, first + second

    first, second, whole = known(split, summed)
    return one_of(rng, (f"what is {first} + {second}?", f"{first} + {second}")), str(whole)


def opposite(rng: np.random.Generator, _split: Split) -> tuple[str, str]:
    pair = one_of(rng, OPPOSITES)
    word, other = pair if rng.integers(2) else pair[::-1]
    return one_of(rng, (f"what is the opposite of {word}?", f"opposite of {word}")), other


def common_colour(rng: np.random.Generator, _split: Split) -> tuple[str, str]:
    thing = one_of(rng, tuple(COLOURED_THINGS))
    asked = (f"what colour is {thing}?", f"the colour of {thing}?")
    return one_of(rng, asked), COLOURED_THINGS[thing]


def chinese_number(rng: np.random.Generator, split: Split) -> tuple[str, str]:
    (number,) = known(split, lambda: (drawn(split, "dialogue/chinese", lambda: int(rng.integers(100))),))
    written = chinese_from_number(number)
    if rng.integers(2):
        return one_of(rng, (f"{number} in chinese?", f"what is {number} in chinese?")), written
    return one_of(rng, (f"{written}是多少？", f"what number is {written}?")), str(number)


def chinese_from_number(number: int) -> str:
    """Numbers below a hundred as they are spoken: 10 is 十, 20 is 二十, 37 is 三十七."""
    tens, ones = divmod(number, 10)
    if tens == 0:
        return CHINESE_DIGITS[ones]
    return (CHINESE_DIGITS[tens] if tens > 1 else "") + "十" + (CHINESE_DIGITS[ones] if ones else "")


def translated(rng: np.random.Generator, _split: Split) -> tuple[str, str]:
    english = one_of(rng, tuple(CHINESE_WORDS))
    chinese = CHINESE_WORDS[english]
    if rng.integers(2):
        return one_of(rng, (f"{english} in chinese?", f"what is {english} in chinese?")), chinese
    return one_of(rng, (f"{chinese} in english?", f"what is {chinese} in english?")), english


def listed_price(rng: np.random.Generator, split: Split) -> tuple[str, str]:
    count = int(rng.integers(2, 6))
    names = goods(rng, split, count)
    prices = [price_text(cents) for cents in drawn_prices(rng, split, count)]
    index = int(rng.integers(len(names)))
    line = line_from_entries(names, prices)
    style = int(rng.integers(6))
    if style == 0:
        return f"{line} what costs {prices[index]}?", names[index]
    if style == 1:
        return f"{line} how many items are there?", str(len(names))
    asked = (f"how much is the {names[index]}?", f"what does the {names[index]} cost?")
    return f"{line} {one_of(rng, asked)}", prices[index]


def listed_code(rng: np.random.Generator, split: Split) -> tuple[str, str]:
    count = int(rng.integers(2, 5))
    names, codes = some_of(rng, FIELDS, count), distinct(lambda: code(rng, split), count)
    index = int(rng.integers(len(names)))
    line = line_from_entries(names, codes)
    if rng.integers(4) == 0:
        return f"{line} where is {codes[index]}?", names[index]
    asked = (f"what is the {names[index]}?", f"read the {names[index]}.")
    return f"{line} {one_of(rng, asked)}", codes[index]


def goods(rng: np.random.Generator, split: Split, count: int) -> list[str]:
    """Goods, other words, or words nobody has heard of: a name must be read, not recognised."""
    style = int(rng.integers(3))
    if style == 0:
        return drawn_goods(rng, count)
    if style == 1:
        return some_of(rng, words_of(split), count)
    return distinct(lambda: drawn_code(rng, split, int(rng.integers(3, 6))), count)


def distinct(draw: Callable[[], str], count: int) -> list[str]:
    found: dict[str, None] = {}
    while len(found) < count:
        found[draw()] = None
    return list(found)


def line_from_entries(names: Sequence[str], values: Sequence[str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in zip(names, values, strict=True)) + "."


def manners(rng: np.random.Generator, _split: Split) -> tuple[str, str]:
    text = one_of(rng, tuple(MANNERS))
    return text, MANNERS[text]


def without_picture(rng: np.random.Generator, _split: Split) -> tuple[str, str]:
    if rng.integers(4) == 0:
        return one_of(rng, CHINESE_PICTURE_QUESTIONS), NO_CHINESE_PICTURE
    return one_of(rng, PICTURE_QUESTIONS), NO_PICTURE


# Looking something up in a list is what reading a receipt or a label comes down to: it comes often.
KINDS: tuple[Maker, ...] = (
    *[listed_price] * 6,
    *[listed_code] * 5,
    *[copied] * 3,
    *[backwards] * 2,
    *[nth_symbol] * 2,
    length,
    larger,
    is_larger,
    *[total] * 2,
    opposite,
    common_colour,
    *[chinese_number] * 2,
    *[translated] * 2,
    manners,
    *[without_picture] * 2,
)
