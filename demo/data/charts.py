"""Bar charts: a few coloured bars over letters, against an axis from 0 to 10."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import permutations, product

import numpy as np

from demo.data import shape
from demo.data.canvas import PAPERS, RASTER, SMALL_PITCH, SMALL_SIZE, Canvas, Rgb
from demo.data.scene import CANVAS, Box, Mark, Question, Scene, Task
from demo.data.shape import may_meet_in_training, split_of_pair
from demo.data.split import Split, drawn, split_of

NAMES = ("red", "green", "blue", "yellow", "orange", "purple", "black")
COLOURS: dict[str, Rgb] = {name: shape.COLOURS[name][0] for name in NAMES}
CHINESE: dict[str, str] = {name: shape.COLOURS[name][1] for name in NAMES}
CHINESE_SHARE = 0.125  # of the questions that also exist in Chinese
LETTERS = "ABCDE"
TOP_VALUE, TICK_STEP = 10, 2
SLOTS: dict[int, int] = {24: 12, 36: 24, 48: 24}  # pixels from bar to bar, and from the axis to the first bar
EDGE = 4  # pixels
Ends = tuple[Box, Box]  # of a bar: its top, and its letter
INK: Rgb = (32, 32, 32)
GRID: Rgb = (190, 190, 190)


@dataclass(frozen=True)
class Plot:
    """Where the axes stand: in the middle of cells of the raster, as do numbers, letters and the tops of bars."""

    left: int
    bottom: int
    bars: int
    slot: int  # pixels from bar to bar

    @property
    def box(self) -> Box:
        """The area of the bars; one more of the value is one cell more of the raster."""
        right = self.left + 2 * SLOTS[self.slot] + (self.bars - 1) * self.slot
        return (self.left, self.bottom - TOP_VALUE * RASTER, right, self.bottom)

    @property
    def layout(self) -> str:
        return f"{self.left},{self.bottom}/{self.bars}/{self.slot}"

    def height_of(self, value: int) -> float:
        """The y of a value on the axis, in pixels."""
        return self.bottom - RASTER * value

    def bar_box(self, index: int, value: int, share: float) -> Box:
        """A bar fills `share` of its slot, in the middle of it."""
        middle, half = self.left + SLOTS[self.slot] + index * self.slot, share * self.slot / 2
        return (middle - half, self.height_of(value), middle + half, self.bottom)


def asked(
    rng: np.random.Generator,
    task: Task,
    answer: str,
    *texts: str,
    chinese: tuple[str, str] | None = None,
    about: tuple[Box, ...] = (),
) -> Question:
    """One of the phrasings, now and then the Chinese one with its own answer."""
    if chinese is not None and rng.random() < CHINESE_SHARE:
        return Question(task, chinese[0], chinese[1], about)
    return Question(task, texts[int(rng.integers(len(texts)))], answer, about)


def layout_key(*boxes: Box, cell: int = 32) -> str:
    """Where things lie and how large they are, coarsely: layouts of two sets never share this key."""
    return " ".join("-".join(str(round(side / cell)) for side in box) for box in boxes)


@lru_cache(maxsize=32)
def colour_pairs(
    split: Split, role: str, firsts: tuple[str, ...], seconds: tuple[str, ...]
) -> tuple[tuple[str, str], ...]:
    """The pairs of a split for two parts of one thing, such as needle and frame.

    A pair no other kind of training picture may show is not for training here either; of the rest, a tenth
    each is set aside with its roles (a red needle in a blue frame), as few pairs would leave little to ask.
    """

    def split_of_parts(pair: tuple[str, str]) -> Split:
        anywhere = split_of_pair(*pair)
        return anywhere if anywhere != "train" else split_of(f"colours/{role}", " ".join(pair))

    return tuple(pair for pair in product(firsts, seconds) if split_of_parts(pair) == split)


def drawn_looks(
    rng: np.random.Generator,
    split: Split,
    role: str,
    firsts: tuple[str, ...],
    seconds: tuple[str, ...],
    count: int,
) -> tuple[tuple[str, str], ...]:
    """The pair of each of `count` things in a picture: `colour_pairs` of the split.

    In training the colours of different things are training pairs too; elsewhere each thing has its own pair.
    """
    pairs = colour_pairs(split, role, firsts, seconds)
    while True:
        looks = tuple(pairs[index] for index in rng.integers(len(pairs), size=count).tolist())
        if split != "train" or may_meet_in_training(tuple(colour for look in looks for colour in look)):
            return looks


@lru_cache(maxsize=16)
def rows_of_colours(split: Split, bars: int) -> tuple[tuple[str, ...], ...]:
    """The colours that so many bars may have: in training every pair is a training pair; elsewhere the first
    two are a pair of the split."""
    rows = permutations(NAMES, bars)
    if split == "train":
        return tuple(row for row in rows if may_meet_in_training(row))
    return tuple(row for row in rows if split_of_pair(*row[:2]) == split)


def _plot(rng: np.random.Generator, bars: int) -> Plot:
    """Two symbols fit left of the axis, one below it."""
    half = RASTER // 2
    first, last = 2 * RASTER + half, CANVAS - EDGE
    slots = [slot for slot in SLOTS if Plot(first, 0, bars, slot).box[2] <= last]
    slot = slots[int(rng.integers(len(slots)))]
    wide = int(Plot(0, 0, bars, slot).box[2])
    left = first + RASTER * int(rng.integers((last - wide - first) // RASTER + 1))
    highest, lowest = (TOP_VALUE * RASTER + half, CANVAS - RASTER - half)
    bottom = highest + RASTER * int(rng.integers((lowest - highest) // RASTER + 1))
    return Plot(left, bottom, bars, slot)


def _values(rng: np.random.Generator, bars: int) -> tuple[int, ...]:
    """With one tallest and one shortest bar."""
    while True:
        values = tuple(int(value) for value in rng.integers(1, TOP_VALUE + 1, bars))
        if values.count(max(values)) == values.count(min(values)) == 1:
            return values


def _draw_axes(canvas: Canvas, plot: Plot) -> None:
    left, top, right, bottom = plot.box
    for value in range(0, TOP_VALUE + 1, TICK_STEP):
        y = plot.height_of(value)
        canvas.draw.line((left - 3, y, right, y), fill=INK if value == 0 else GRID)
        number = str(value)
        before = RASTER / 2 + len(number) * SMALL_PITCH
        canvas.text(left - before, y, number, SMALL_SIZE, SMALL_PITCH, INK)
    canvas.draw.line((left, top, left, bottom), fill=INK)


def _draw_bars(canvas: Canvas, plot: Plot, values: tuple[int, ...], colours: tuple[str, ...]) -> None:
    share = float(canvas.rng.uniform(0.5, 0.85))
    for index, (value, colour) in enumerate(zip(values, colours, strict=True)):
        left, top, right, bottom = plot.bar_box(index, value, share)
        canvas.draw.rectangle((left, top, right, bottom - 1), fill=COLOURS[colour])
        middle = (left + right) / 2
        canvas.mark(f"{colour} bar top", (middle - 4, top - 4, middle + 4, top + 4))
        canvas.text(middle - SMALL_PITCH / 2, bottom + RASTER, LETTERS[index], SMALL_SIZE, SMALL_PITCH, INK)


def _ends_of_bars(marks: Sequence[Mark]) -> list[Ends]:
    """Of each bar, the first one's first: how tall it is can be seen from both."""
    tops = [index for index, mark in enumerate(marks) if mark.label.endswith("bar top")]
    return [(marks[index].box, marks[index + 1].box) for index in tops]


def _bar_questions(
    rng: np.random.Generator, letter: str, value: int, colour: str, ends: Ends
) -> list[Question]:
    value_texts = (
        f"what is the value of {letter}?",
        f"what is the value of bar {letter}?",
        f"how tall is bar {letter}?",
    )
    colour_texts = (f"what colour is bar {letter}?", f"what is the colour of bar {letter}?")
    which_texts = (f"which bar is {colour}?", f"what letter is below the {colour} bar?")
    return [
        asked(rng, "chart", str(value), *value_texts, chinese=(f"{letter}是多少？", str(value)), about=ends),
        asked(
            rng,
            "chart",
            colour,
            *colour_texts,
            chinese=(f"{letter}是什么颜色？", CHINESE[colour]),
            about=ends,
        ),
        asked(rng, "chart", letter, *which_texts, about=ends),
    ]


def _comparison(rng: np.random.Generator, values: tuple[int, ...], ends: Sequence[Ends]) -> Question:
    """Yes or no is drawn first, then two bars for which it is true."""
    yes = bool(rng.integers(2))
    while True:
        one, other = (int(index) for index in rng.choice(len(values), 2, replace=False))
        if values[one] != values[other] and (values[one] > values[other]) == yes:
            a, b = LETTERS[one], LETTERS[other]
            texts = (f"is {a} taller than {b}?", f"is bar {a} taller than bar {b}?")
            tops = (ends[one][0], ends[other][0])
            return asked(rng, "chart", "yes" if yes else "no", *texts, about=tops)


def _questions(
    rng: np.random.Generator, values: tuple[int, ...], colours: tuple[str, ...], ends: Sequence[Ends]
) -> list[Question]:
    tallest, shortest = values.index(max(values)), values.index(min(values))
    tallest_texts = ("which bar is the tallest?", "what is the tallest bar?")
    shortest_texts = ("which bar is the shortest?", "what is the shortest bar?")
    questions = [
        asked(rng, "chart", LETTERS[tallest], *tallest_texts, about=ends[tallest]),
        asked(rng, "chart", LETTERS[shortest], *shortest_texts, about=ends[shortest]),
        asked(rng, "chart", colours[tallest], "what colour is the tallest bar?", about=ends[tallest]),
        asked(
            rng,
            "chart",
            str(len(values)),
            "how many bars are there?",
            "how many bars does the chart have?",
            chinese=("有几个柱子？", str(len(values))),
        ),
        _comparison(rng, values, ends),
    ]
    for letter, value, colour, each in zip(LETTERS, values, colours, ends, strict=False):
        questions += _bar_questions(rng, letter, value, colour, each)
    return questions


def charts_scene(rng: np.random.Generator, split: Split) -> Scene:
    """A bar chart of 3 to 5 bars of different colours and whole values from 1 to 10."""
    bars = int(rng.integers(3, 6))
    plot = drawn(split, "layout/charts", lambda: _plot(rng, bars), lambda plan: plan.layout)
    values = drawn(
        split, "chart values", lambda: _values(rng, plot.bars), lambda row: "-".join(map(str, row))
    )
    rows_of_split = rows_of_colours(split, plot.bars)
    colours = rows_of_split[rng.integers(len(rows_of_split))]
    canvas = Canvas(rng, PAPERS[int(rng.integers(len(PAPERS)))])
    _draw_axes(canvas, plot)
    _draw_bars(canvas, plot, values, colours)
    rows = list(zip(LETTERS, colours, values, strict=False))
    return Scene(
        picture=canvas.finished(),
        caption="a bar chart with " + " ".join(f"{colour} {value}" for _, colour, value in rows),
        words=f"a chart with {plot.bars} bars "
        + " ".join(f"{a} {colour} {value}" for a, colour, value in rows),
        marks=tuple(canvas.marks),
        questions=tuple(_questions(rng, values, colours, _ends_of_bars(canvas.marks))),
    )
