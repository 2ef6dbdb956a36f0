"""Coloured shapes: what they are, how many, where and how large."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from demo.data.canvas import PAPERS, Canvas, Rgb
from demo.data.placing import layout_key, placed
from demo.data.scene import CANVAS, Box, Question, Scene, Task, box_text
from demo.data.split import Split, drawn, split_of


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
CHINESE = 1 / 8  # of the questions
FEWEST = 6  # questions about a picture
CLEAR = 1.3  # one shape is larger than another only if both see it at a glance
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


def shapes_scene(rng: np.random.Generator, split: Split) -> Scene:
    """1 to 6 shapes. Of a training picture's colours every pair is a training pair; any other picture with
    two colours or more starts, in the order of its marks, with two colours that are a pair of its split."""
    paper, palette = palette_of(rng, split)
    if rng.random() < 0.5:
        colours, kinds, counted = counted_looks(rng, palette)
    else:
        colours, kinds, counted = varied_looks(rng, palette)
    asked: tuple[Question, ...] = ()
    while len(asked) < FEWEST:  # six red circles of one size: somewhere else, one of them is the leftmost
        boxes = drawn(split, "layout/shapes", lambda: boxes_of(rng, len(colours)), layout_key)
        shapes = tuple(map(Shape, kinds, colours, boxes))
        asked = Asker(rng, shapes).asked(counted)
    canvas = Canvas(rng, paper)
    for shape in shapes:
        draw_shape(canvas, shape)
    return Scene(canvas.finished(), caption_of(shapes), words_of(shapes), tuple(canvas.marks), asked)


# --- what is in the picture ---


def palette_of(rng: np.random.Generator, split: Split) -> tuple[Rgb, list[str]]:
    """A paper and 3 to 5 colours that show on it; the first two are the pair that makes the split."""

    def paper_and_colours() -> tuple[Rgb, list[str]]:
        papers, hidden = ((PAPERS, "white"), (GREYS, ""), (DARKS, "black"))[
            int(rng.choice(3, p=(0.5, 0.2, 0.3)))
        ]
        shown = [colour for colour in COLOURS if colour != hidden]
        return papers[rng.integers(len(papers))], [shown[index] for index in rng.permutation(len(shown))]

    paper, colours = drawn(split, "colours", paper_and_colours, lambda thing: colours_key(*thing[1][:2]))
    palette = colours[:2]
    for colour in colours[2:]:
        pairs = [colours_key(colour, other) for other in palette]
        if split != "train" or all(split_of("colours", pair) == "train" for pair in pairs):
            palette.append(colour)
    return paper, palette[:PALETTE]


Looks = tuple[list[str], list[str], dict[Word, int]]  # colours, kinds, what to count and how many there are


def varied_looks(rng: np.random.Generator, palette: list[str]) -> Looks:
    """Any number of shapes, as likely one as six; often no two of a colour or of a kind."""
    count = int(rng.integers(1, MOST + 1))
    colours = palette[:count] if rng.random() < 0.6 else palette[: min(2, count)]
    colours = colours + [palette[rng.integers(len(palette))] for _ in range(count - len(colours))]
    if count == 1:
        colours = [palette[rng.integers(len(palette))]]
    every = list(KINDS)
    order = rng.permutation(MOST) if rng.random() < 0.6 else rng.integers(0, MOST, MOST)
    return colours, [every[index] for index in order[:count]], {Word("shapes", "形状"): count}


def counted_looks(rng: np.random.Generator, palette: list[str]) -> Looks:
    """0 to 6 of one colour and 0 to 6 of one kind, every number as likely, whatever else there is."""
    of_colour, of_kind = (int(rng.integers(0, MOST + 1)) for _ in range(2))
    count = int(rng.integers(max(1, of_colour, of_kind), MOST + 1))
    if of_colour == 0:
        rest = [colour for colour in COLOURS if colour not in palette]
        colour = rest[rng.integers(len(rest))]
        colours = palette[: min(2, count)]
    else:
        colour, palette = palette[0], palette[1:]
        colours = ([colour] + palette[:1] * (count > of_colour) + [colour] * (of_colour - 1))[:count]
    colours = colours + [palette[rng.integers(len(palette))] for _ in range(count - len(colours))]
    every = [list(KINDS)[index] for index in rng.permutation(len(KINDS))]
    chosen = rng.permutation(count)[:of_kind].tolist()
    kinds = [every[0] if index in chosen else every[rng.integers(1, MOST)] for index in range(count)]
    return colours, kinds, {things_of(colour): of_colour, kinds_of(every[0]): of_kind}


def boxes_of(rng: np.random.Generator, count: int) -> tuple[Box, ...]:
    """Small and large are equally likely in the sense of the eye: by ratio, not by difference."""
    while True:
        sides = np.exp(rng.uniform(math.log(SMALLEST), math.log(LARGEST + 1), count)).astype(int).tolist()
        boxes = placed(rng, [(side, side) for side in sides])
        if boxes is not None:
            return boxes


def draw_shape(canvas: Canvas, shape: Shape) -> None:
    left, top, right, bottom = shape.box
    last, size = shape.side - 1, shape.side  # Pillow counts the last pixel in
    tinge = canvas.rng.integers(-TINGE, TINGE + 1, 3).tolist()
    red, green, blue = (
        max(0, min(255, pure + shift)) for pure, shift in zip(COLOURS[shape.colour][0], tinge, strict=True)
    )
    ink, whole, draw = (red, green, blue), (left, top, right - 1, bottom - 1), canvas.draw
    if shape.kind == "circle":
        draw.ellipse(whole, fill=ink)
    elif shape.kind == "ring":
        draw.ellipse(whole, outline=ink, width=round(size * (1 - HOLE) / 2))
    elif shape.kind == "square":
        draw.rectangle(whole, fill=ink)
    elif shape.kind == "triangle":
        draw.polygon([(left + last / 2, top), (right - 1, bottom - 1), (left, bottom - 1)], fill=ink)
    elif shape.kind == "star":
        draw.polygon([(left + x * last, top + y * last) for x, y in STAR], fill=ink)
    else:
        assert shape.kind == "cross", shape.kind
        side = round(size * (1 - ARM) / 2)
        draw.rectangle((left + side, top, right - 1 - side, bottom - 1), fill=ink)
        draw.rectangle((left, top + side, right - 1, bottom - 1 - side), fill=ink)
    canvas.mark(f"{shape.colour} {shape.kind}", shape.box)


# --- what is said about it ---

PHRASES: dict[str, tuple[Task, tuple[str, ...], str]] = {
    "colour": ("colour", ("what colour is {it}?", "which colour does {it} have?"), "{it}是什么颜色？"),
    "coloured": ("colour", ("is {it} {colour}?",), "{it}是{colour}吗？"),
    "shape": ("shape", ("what shape is {it}?", "which shape does {it} have?"), "{it}是什么形状？"),
    "shaped": ("shape", ("is {it} a {kind}?",), "{it}是{kind}吗？"),
    "count": (
        "count",
        ("how many {it} are there?", "how many {it} do you see?", "count the {it}."),
        "有几个{it}？",
    ),
    "place": ("place", ("where is {it}?", "in which corner is {it}?"), "{it}在哪里？"),
    "side": ("place", ("is {it} {side} {other}?",), "{it}在{other}的{side}吗？"),
    "larger": (
        "size",
        ("which is larger, {it} or {other}?", "what is larger, {it} or {other}?"),
        "{it}和{other}哪个大？",
    ),
    "smaller": (
        "size",
        ("which is smaller, {it} or {other}?", "what is smaller, {it} or {other}?"),
        "{it}和{other}哪个小？",
    ),
    "most": ("size", ("what is the {most} shape?", "which shape is the {most}?"), "{most}的是什么形状？"),
    "most_colour": (
        "size",
        ("what colour is the {most} shape?", "which colour is the {most}?"),
        "{most}的是什么颜色？",
    ),
    "box": ("box", ("where exactly is {it}?", "give the box of {it}."), "{it}的准确位置？"),
}
YES, NO = Word("yes", "是"), Word("no", "否")
MOSTS = {"largest": Word("largest", "最大"), "smallest": Word("smallest", "最小")}
ENDS = {
    (0, -1): Word("leftmost", "最左边"),
    (0, 1): Word("rightmost", "最右边"),
    (1, -1): Word("topmost", "最上面"),
    (1, 1): Word("lowest", "最下面"),
}
SIDES = {
    (0, -1): Word("left of", "左边"),
    (0, 1): Word("right of", "右边"),
    (1, -1): Word("above", "上面"),
    (1, 1): Word("below", "下面"),
}


class Name(NamedTuple):
    """One way to point at one shape, and whether it gives its colour or its kind away."""

    word: Word
    tells: str  # "kind", "colour", "kind colour", or "" for neither


def kinds_of(kind: str) -> Word:
    return Word("crosses" if kind == "cross" else f"{kind}s", KINDS[kind])


def things_of(colour: str) -> Word:
    return Word(f"{colour} things", f"{COLOURS[colour][1]}的东西")


def kind_word(kind: str) -> Word:
    return Word(kind, KINDS[kind])


def colour_word(colour: str) -> Word:
    return Word(colour, COLOURS[colour][1])


def larger_by(one: Shape, other: Shape) -> float:
    """Above 1 where `one` is clearly larger: both in extent and in area, whichever of the two kinds covers more."""
    cover = max(COVER[one.kind], COVER[other.kind]) / min(COVER[one.kind], COVER[other.kind])
    return one.side / other.side / max(CLEAR, math.sqrt(cover))


def end_of(shapes: tuple[Shape, ...], axis: int, sign: int) -> Shape | None:
    """The shape farthest to that side, by its middle and by its edge, if there is no doubt."""
    for shape in shapes:
        if all(beyond(shape, other, axis, sign, 10) for other in shapes if other is not shape):
            return shape
    return None


def beyond(one: Shape, other: Shape, axis: int, sign: int, least: float) -> bool:
    ways = [one.middle[axis] - other.middle[axis]]
    ways += [one.box[edge] - other.box[edge] for edge in (axis, axis + 2)]
    return ways[0] * sign >= least and all(way * sign >= least / 2 for way in ways[1:])


def corner_of(shape: Shape) -> Word | None:
    x, y = (value - CANVAS / 2 for value in shape.middle)
    if min(abs(x), abs(y)) < max(12, 0.2 * shape.side):
        return None
    down, across = ("top", "上") if y < 0 else ("bottom", "下"), ("left", "左") if x < 0 else ("right", "右")
    return Word(f"{down[0]} {across[0]}", across[1] + down[1])


def most_of(shapes: tuple[Shape, ...], most: str) -> Shape | None:
    for shape in shapes if len(shapes) > 1 else ():
        others = [other for other in shapes if other is not shape]
        pairs = [(shape, other) if most == "largest" else (other, shape) for other in others]
        if all(larger_by(large, small) > 1 for large, small in pairs):
            return shape
    return None


def names_of(shape: Shape, shapes: tuple[Shape, ...]) -> list[Name]:
    """Every way to point at this shape and at no other."""
    kind, colour = kind_word(shape.kind), colour_word(shape.colour)
    names = []
    if [other.kind for other in shapes].count(shape.kind) == 1:
        names.append(Name(Word(f"the {kind.english}", kind.chinese), "kind"))
    if [other.colour for other in shapes].count(shape.colour) == 1:
        names.append(Name(Word(f"the {colour.english} thing", f"{colour.chinese}的东西"), "colour"))
    if [(other.kind, other.colour) for other in shapes].count((shape.kind, shape.colour)) == 1:
        both = Word(f"the {colour.english} {kind.english}", f"{colour.chinese}的{kind.chinese}")
        names.append(Name(both, "kind colour"))
    for (axis, sign), end in ENDS.items():
        if len(shapes) > 1 and end_of(shapes, axis, sign) is shape:
            names.append(Name(Word(f"the {end.english} thing", f"{end.chinese}的东西"), ""))
    return names


class Asker:
    """Asks about shapes; never twice the same, never what has two right answers."""

    def __init__(self, rng: np.random.Generator, shapes: tuple[Shape, ...]) -> None:
        self.rng = rng
        self.shapes = shapes
        self.names = [names_of(shape, shapes) for shape in shapes]
        self.questions: dict[str, Question] = {}

    def asked(self, counted: dict[Word, int]) -> tuple[Question, ...]:
        for things, count in counted.items():
            self.ask("count", Word(str(count), str(count)), it=things)
        self.ask_looks("colour")
        self.ask_looks("kind")
        self.ask_corners(2)
        self.ask_side()
        self.ask_most()
        self.ask_larger()
        self.ask_boxes(2)
        return tuple(self.questions.values())

    def ask(self, phrase: str, answer: Word, **words: Word) -> None:
        task, english, chinese = PHRASES[phrase]
        if self.rng.random() < CHINESE:
            text, said = (
                chinese.format(**{name: word.chinese for name, word in words.items()}),
                answer.chinese,
            )
        else:
            form = english[self.rng.integers(len(english))]
            text, said = form.format(**{name: word.english for name, word in words.items()}), answer.english
        self.questions.setdefault(text, Question(task, text, said))

    def named(self, hidden: str = "", ends: bool = True) -> list[tuple[Shape, Word]]:
        """The shapes in any order, each with one of its names that does not give away what is hidden."""
        found = []
        for index in self.rng.permutation(len(self.shapes)):
            names = [name for name in self.names[index] if not hidden or hidden not in name.tells]
            names = [name for name in names if ends or name.tells]
            if names:
                found.append((self.shapes[index], names[self.rng.integers(len(names))].word))
        return found

    def ask_looks(self, look: str) -> None:
        """Colour or kind of two shapes; where only one can be asked about, also whether it is this or that."""
        plain, guess = ("colour", "coloured") if look == "colour" else ("shape", "shaped")
        every = (
            [colour_word(name) for name in COLOURS]
            if look == "colour"
            else [kind_word(name) for name in KINDS]
        )
        named = self.named(look)
        for shape, name in named[:2]:
            self.ask(plain, self.look_of(shape, look), it=name)
        if len(named) == 1 or (named and self.rng.random() < 0.15):
            shape, name = named[-1]
            truth = self.look_of(shape, look)
            others = [word for word in every if word != truth]
            true = self.rng.random() < 0.5
            said = truth if true else others[self.rng.integers(len(others))]
            self.ask(guess, YES if true else NO, it=name, **{look: said})

    def look_of(self, shape: Shape, look: str) -> Word:
        return colour_word(shape.colour) if look == "colour" else kind_word(shape.kind)

    def ask_corners(self, most: int) -> None:
        """Never where "the leftmost thing" is: half of that could be guessed."""
        places = [(name, corner_of(shape)) for shape, name in self.named(ends=False)]
        for name, corner in [(name, corner) for name, corner in places if corner][:most]:
            self.ask("place", corner, it=name)

    def ask_side(self) -> None:
        """A pair in either order, so that yes and no are equally likely."""
        named = self.named(ends=False)
        axis = int(self.rng.integers(2))
        for (one, it), (two, other) in pairwise(named):
            signs = [sign for sign in (-1, 1) if beyond(one, two, axis, sign, 20)]
            if signs:
                said = -1 if self.rng.random() < 0.5 else 1
                self.ask("side", YES if said == signs[0] else NO, it=it, other=other, side=SIDES[axis, said])
                return

    def ask_most(self) -> None:
        for most, word in MOSTS.items():
            shape = most_of(self.shapes, most)
            if shape and self.rng.random() < 0.9:
                if self.rng.random() < 0.5:
                    self.ask("most", kind_word(shape.kind), most=word)
                else:
                    self.ask("most_colour", colour_word(shape.colour), most=word)

    def ask_larger(self) -> None:
        """Two shapes with kinds of their own, or else with colours of their own."""
        looks = ("kind", "colour") if self.rng.random() < 0.5 else ("colour", "kind")
        for look in looks:
            named = [
                (self.shapes[index], self.look_of(self.shapes[index], look), name.word)
                for index in self.rng.permutation(len(self.shapes))
                for name in self.names[index]
                if name.tells == look
            ]
            for (one, one_look, it), (two, two_look, other) in pairwise(named):
                if larger_by(one, two) > 1 or larger_by(two, one) > 1:
                    phrase = "larger" if self.rng.random() < 0.5 else "smaller"
                    first = (one.side > two.side) == (phrase == "larger")
                    self.ask(phrase, one_look if first else two_look, it=it, other=other)
                    return

    def ask_boxes(self, most: int) -> None:
        for shape, name in self.named()[:most]:
            self.ask("box", Word(box_text(shape.box), box_text(shape.box)), it=name)


def caption_of(shapes: tuple[Shape, ...]) -> str:
    """What there is, the large before the small, and where if there are few; at most 20 words."""
    many = [(shape.colour, shape.kind) for shape in sorted(shapes, key=lambda shape: -shape.side)]
    parts = []
    for colour, kind in dict.fromkeys(many):
        count = many.count((colour, kind))
        article = "an" if colour == "orange" else "a"
        one = f"{article} {colour} {kind}"
        parts.append(one if count == 1 else f"{count} {colour} {kinds_of(kind).english}")
    if len(parts) == len(shapes) <= 2:
        corners = [corner_of(shape) for shape in sorted(shapes, key=lambda shape: -shape.side)]
        spots = [f" at the {corner.english}" if corner else "" for corner in corners]
        parts = [part + spot for part, spot in zip(parts, spots, strict=True)]
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def words_of(shapes: tuple[Shape, ...]) -> str:
    """Everything that may be asked: what, in which corner, how wide in pixels, and the box."""
    lines = []
    for shape in shapes:
        corner = corner_of(shape)
        spot = f" {corner.english}" if corner else ""
        lines.append(f"{shape.colour} {shape.kind}{spot} {shape.side:.0f} {box_text(shape.box)}")
    return f"{len(shapes)} shape{'s' * (len(shapes) > 1)}: " + ", ".join(lines)
