"""What can be asked and said about coloured shapes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from demo.data.nameless import names_in_doubt
from demo.data.scene import CANVAS, Question, Task, box_text
from demo.data.shape import COLOURS, COVER, KINDS, Shape, Word

CHINESE = 1 / 8  # of the questions
ASKED = 2  # shapes of a picture whose colour, kind, corner or box is asked about
CLEAR = 1.3  # one shape is larger than another only if both see it at a glance

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
EVERY = Word("shapes", "形状")
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


def counted_word(text: str) -> str:
    """The colour or the kind that a question counts; nothing where it counts all shapes."""
    words = [(name, things_of(name)) for name in COLOURS] + [(name, kinds_of(name)) for name in KINDS]
    return next((name for name, word in words if word.english in text or word.chinese in text), "")


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
    """Every way to point at this shape and at no other; never by a colour that somebody might call another's that has no name."""
    kind = kind_word(shape.kind)
    names = []
    if [other.kind for other in shapes].count(shape.kind) == 1:
        names.append(Name(Word(f"the {kind.english}", kind.chinese), "kind"))
    if is_named(shape, shapes):
        names += names_by_colour(shape, shapes)
    for (axis, sign), end in ENDS.items():
        if len(shapes) > 1 and end_of(shapes, axis, sign) is shape:
            names.append(Name(Word(f"the {end.english} thing", f"{end.chinese}的东西"), ""))
    return names


def is_named(shape: Shape, shapes: tuple[Shape, ...]) -> bool:
    """Whether its colour has a name that none of the others might go by."""
    return shape.colour in COLOURS and shape.colour not in names_in_doubt(other.colour for other in shapes)


def names_by_colour(shape: Shape, shapes: tuple[Shape, ...]) -> list[Name]:
    kind, colour = kind_word(shape.kind), colour_word(shape.colour)
    names = []
    if [other.colour for other in shapes].count(shape.colour) == 1:
        names.append(Name(Word(f"the {colour.english} thing", f"{colour.chinese}的东西"), "colour"))
    if [(other.kind, other.colour) for other in shapes].count((shape.kind, shape.colour)) == 1:
        both = Word(f"the {colour.english} {kind.english}", f"{colour.chinese}的{kind.chinese}")
        names.append(Name(both, "kind colour"))
    return names


class Asker:
    """Asks about shapes; never twice the same, never what has two right answers."""

    def __init__(self, rng: np.random.Generator, shapes: tuple[Shape, ...]) -> None:
        self.rng = rng
        self.shapes = shapes
        self.questions: dict[str, Question] = {}

    @cached_property
    def names(self) -> list[list[Name]]:
        """Of each shape."""
        return [names_of(shape, self.shapes) for shape in self.shapes]

    def asked(self, counted: dict[Word, int], most: int = ASKED) -> tuple[Question, ...]:
        self.ask_counts(counted)
        self.ask_looks("colour", most)
        self.ask_looks("kind", most)
        self.ask_corners(most)
        self.ask_side()
        self.ask_most()
        self.ask_larger()
        self.ask_boxes(most)
        return tuple(self.questions.values())

    def ask_counts(self, counted: Mapping[Word, int]) -> None:
        for things, count in counted.items():
            self.ask("count", Word(str(count), str(count)), self.counted(things), it=things)

    def counted(self, things: Word) -> tuple[Shape, ...]:
        """Those that "red things", "rings" or just "shapes" stands for."""
        return tuple(
            each
            for each in self.shapes
            if things in (kinds_of(each.kind), EVERY)
            or (each.colour in COLOURS and things == things_of(each.colour))
        )

    def ask(self, phrase: str, answer: Word, about: Iterable[Shape], **words: Word) -> None:
        task, english, chinese = PHRASES[phrase]
        if self.rng.random() < CHINESE:
            text, said = (
                chinese.format(**{name: word.chinese for name, word in words.items()}),
                answer.chinese,
            )
        else:
            form = english[self.rng.integers(len(english))]
            text, said = form.format(**{name: word.english for name, word in words.items()}), answer.english
        boxes = tuple(shape.box for shape in about)
        self.questions.setdefault(text, Question(task, text, said, boxes))

    def named(self, hidden: str = "", ends: bool = True) -> list[tuple[Shape, Word]]:
        """The shapes in any order, each with one of its names that does not give away what is hidden."""
        found = []
        for index in self.rng.permutation(len(self.shapes)):
            names = [name for name in self.names[index] if not hidden or hidden not in name.tells]
            names = [name for name in names if ends or name.tells]
            if names:
                found.append((self.shapes[index], names[self.rng.integers(len(names))].word))
        return found

    def ask_looks(self, look: str, most: int) -> None:
        """Colour or kind of some shapes; where only one can be asked about, also whether it is this or that."""
        plain, guess = ("colour", "coloured") if look == "colour" else ("shape", "shaped")
        every = (
            [colour_word(name) for name in COLOURS]
            if look == "colour"
            else [kind_word(name) for name in KINDS]
        )
        named = [
            (shape, name) for shape, name in self.named(look) if look != "colour" or shape.colour in COLOURS
        ]
        for shape, name in named[:most]:
            self.ask(plain, self.look_of(shape, look), [shape], it=name)
        if len(named) == 1 or (named and self.rng.random() < 0.15):
            shape, name = named[-1]
            truth = self.look_of(shape, look)
            others = [word for word in every if word != truth]
            true = self.rng.random() < 0.5
            said = truth if true else others[self.rng.integers(len(others))]
            self.ask(guess, YES if true else NO, [shape], it=name, **{look: said})

    def look_of(self, shape: Shape, look: str) -> Word:
        return colour_word(shape.colour) if look == "colour" else kind_word(shape.kind)

    def ask_corners(self, most: int) -> None:
        """Never where "the leftmost thing" is: half of that could be guessed."""
        places = [(shape, name, corner_of(shape)) for shape, name in self.named(ends=False)]
        for shape, name, corner in [(shape, name, corner) for shape, name, corner in places if corner][:most]:
            self.ask("place", corner, [shape], it=name)

    def ask_side(self) -> None:
        """A pair in either order, so that yes and no are equally likely."""
        named = self.named(ends=False)
        axis = int(self.rng.integers(2))
        for (one, it), (two, other) in pairwise(named):
            signs = [sign for sign in (-1, 1) if beyond(one, two, axis, sign, 20)]
            if signs:
                said = -1 if self.rng.random() < 0.5 else 1
                self.ask(
                    "side",
                    YES if said == signs[0] else NO,
                    [one, two],
                    it=it,
                    other=other,
                    side=SIDES[axis, said],
                )
                return

    def ask_most(self) -> None:
        for most, word in MOSTS.items():
            shape = most_of(self.shapes, most)
            if shape and self.rng.random() < 0.9:
                if self.rng.random() < 0.5 or shape.colour not in COLOURS:
                    self.ask("most", kind_word(shape.kind), [shape], most=word)
                else:
                    self.ask("most_colour", colour_word(shape.colour), [shape], most=word)

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
                    self.ask(phrase, one_look if first else two_look, [one, two], it=it, other=other)
                    return

    def ask_boxes(self, most: int) -> None:
        for shape, name in self.named()[:most]:
            self.ask("box", Word(box_text(shape.box), box_text(shape.box)), [shape], it=name)
