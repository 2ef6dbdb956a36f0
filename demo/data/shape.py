"""One coloured shape: its kinds and colours in both languages, and where it lies."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from typing import NamedTuple

from demo.data.canvas import Rgb
from demo.data.scene import Box
from demo.data.split import Split, split_of


class Word(NamedTuple):
    english: str
    chinese: str


COLOURS: dict[str, tuple[Rgb, str]] = {
    "red": ((216, 32, 36), "红色"),
    "green": ((28, 150, 60), "绿色"),
    "blue": ((36, 84, 232), "蓝色"),
    "yellow": ((242, 208, 0), "黄色"),
    "orange": ((248, 128, 16), "橙色"),
    "purple": ((136, 48, 188), "紫色"),
    "pink": ((252, 140, 196), "粉色"),
    "black": ((18, 18, 18), "黑色"),
    "white": ((252, 252, 252), "白色"),
}
KINDS = {
    "circle": "圆形",
    "square": "方形",
    "triangle": "三角形",
    "star": "星形",
    "cross": "十字形",
    "ring": "环形",
}
GREYS: tuple[Rgb, ...] = ((118, 120, 124), (104, 116, 124))
DARKS: tuple[Rgb, ...] = ((34, 36, 40), (44, 36, 32), (24, 36, 44))
MOST, SMALLEST, LARGEST = 6, 20, 70  # shapes in a picture; pixels
PALETTE = 5  # colours in a picture; training pictures rarely find more that may meet
TINGE = 10  # of 255: how far a shape's colour may be from the pure one
FEWEST = 6  # questions about a picture
ARM, HOLE, NOTCH = 0.34, 0.52, 0.5  # a cross's arm, a ring's hole, a star's inner radius; of the whole


def star_points() -> tuple[tuple[float, float], ...]:
    """Five rays that touch all four sides of the unit square."""
    turns = [(math.pi * step / 5, NOTCH if step % 2 else 1.0) for step in range(10)]
    points = [(radius * math.sin(turn), -radius * math.cos(turn)) for turn, radius in turns]
    low = [min(point[axis] for point in points) for axis in (0, 1)]
    high = [max(point[axis] for point in points) for axis in (0, 1)]
    return tuple(((x - low[0]) / (high[0] - low[0]), (y - low[1]) / (high[1] - low[1])) for x, y in points)


STAR = star_points()
# How much of its box a shape covers.
COVER = {
    "circle": math.pi / 4,
    "square": 1.0,
    "triangle": 0.5,
    "star": abs(sum(a[0] * b[1] - b[0] * a[1] for a, b in zip(STAR, STAR[1:] + STAR[:1], strict=True))) / 2,
    "cross": 1 - (1 - ARM) ** 2,
    "ring": math.pi / 4 * (1 - HOLE**2),
}


@dataclass(frozen=True)
class Shape:
    kind: str
    colour: str
    box: Box

    @property
    def side(self) -> float:
        return self.box[2] - self.box[0]

    @property
    def middle(self) -> tuple[float, float]:
        return (self.box[0] + self.box[2]) / 2, (self.box[1] + self.box[3]) / 2


def colours_key(one: str, other: str) -> str:
    """The pair's name for `split_of("colours", ...)`."""
    return "&".join(sorted((one, other)))  # spelt so that the pairs held out have many colours


@lru_cache(maxsize=128)
def split_of_pair(one: str, other: str) -> Split:
    """Where two colours of one picture belong, in either order."""
    return split_of("colours", colours_key(one, other))


def may_meet_in_training(colours: Iterable[str]) -> bool:
    """Whether every two different ones of the colours are a training pair."""
    return all(split_of_pair(*pair) == "train" for pair in combinations(sorted(set(colours)), 2))


def may_meet(split: Split, *colours: str) -> bool:
    """Training shows no pair that another set asks about; the others may show any beside their own."""
    return split != "train" or may_meet_in_training(colours)
