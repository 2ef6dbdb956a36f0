"""Coloured shapes: what they are, how many, where and how large."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from demo.data.canvas import PAPERS, Canvas, Rgb
from demo.data.nameless import INKS, names_in_doubt, shades_on
from demo.data.placing import layout_key, placed
from demo.data.scene import Box, Question, Scene
from demo.data.shape import (
    ARM,
    COLOURS,
    DARKS,
    FEWEST,
    GREYS,
    HOLE,
    KINDS,
    LARGEST,
    MOST,
    PALETTE,
    SMALLEST,
    STAR,
    TINGE,
    Shape,
    Word,
    colours_key,
)
from demo.data.shape_captions import caption_of, words_of
from demo.data.shape_questions import ASKED, EVERY, Asker, kinds_of, things_of
from demo.data.split import Split, drawn, split_of

ABSENT = 2  # colours, and kinds, that are counted though there are none
MOST_KEPT, MOST_NAMELESS = 3, 3  # colours with and without a name in a picture that has both


def shapes_scene(
    rng: np.random.Generator, split: Split, is_drill: bool = False, nameless: float = 0.0
) -> Scene:
    """1 to 6 shapes; a drill asks about each of them. Of a training picture's colours every pair is a training pair; any
    other picture with two colours or more starts, in the order of its marks, with two colours that are a pair of its split.
    `nameless` is the share of pictures in which some have a colour without a name."""
    paper, palette = palette_of(rng, split)
    if nameless and rng.random() < nameless:
        palette = with_nameless(rng, paper, palette)
    if rng.random() < 0.5:
        colours, kinds, counted = counted_looks(rng, palette)
    else:
        colours, kinds, counted = varied_looks(rng, palette)
    doubtful = names_in_doubt(colours)
    counted = {word: count for word, count in counted.items() if word not in map(things_of, doubtful)}
    fewest = FEWEST if set(colours) <= set(COLOURS) else 1
    asked: tuple[Question, ...] = ()
    while len(asked) < fewest:  # six red circles of one size: somewhere else, one of them is the leftmost
        boxes = drawn(split, "layout/shapes", lambda: boxes_of(rng, len(colours)), layout_key)
        shapes = tuple(map(Shape, kinds, colours, boxes))
        asked = Asker(rng, shapes).asked(counted, len(shapes) if is_drill else ASKED)
    return drawn_scene(rng, paper, shapes, asked)


def counted_scene(rng: np.random.Generator, split: Split, nameless: float = 0.0) -> Scene:
    """Shapes of which every colour and kind is counted, those that are there and some that are not. `nameless` is the share of
    pictures in which some have a colour without a name."""
    paper, palette = palette_of(rng, split)
    if nameless and rng.random() < nameless:
        palette = with_nameless(rng, paper, palette)
    colours, kinds, counted = counted_looks(rng, palette)
    doubtful = names_in_doubt(colours)
    sure = [name for name in COLOURS if name not in doubtful]
    there = [name for name in colours if name in sure]
    every = {things_of(name): colours.count(name) for name in with_absent(rng, sure, there)}
    every |= {kinds_of(name): kinds.count(name) for name in with_absent(rng, KINDS, kinds)}
    counted = {word: count for word, count in counted.items() if word not in map(things_of, doubtful)}
    boxes = drawn(split, "layout/shapes", lambda: boxes_of(rng, len(colours)), layout_key)
    asker = Asker(rng, tuple(map(Shape, kinds, colours, boxes)))
    asker.ask_counts({**counted, **every, EVERY: len(colours)})
    return drawn_scene(rng, paper, asker.shapes, tuple(asker.questions.values()))


def with_nameless(rng: np.random.Generator, paper: Rgb, palette: Sequence[str]) -> list[str]:
    """A colour that has a name first; others of them and some that have none in any order."""
    kept, shades = int(rng.integers(1, MOST_KEPT + 1)), shades_on(paper)
    strange = [shades[index] for index in rng.permutation(len(shades))[: rng.integers(1, MOST_NAMELESS + 1)]]
    rest = [*palette[1:kept], *strange]
    return [palette[0], *(rest[index] for index in rng.permutation(len(rest)))]


def with_absent(rng: np.random.Generator, every: Iterable[str], there: Sequence[str]) -> list[str]:
    """Each name that is there, once, and some of those that are not."""
    names = [name for name in every if name not in there]
    return [*dict.fromkeys(there), *(names[index] for index in rng.permutation(len(names))[:ABSENT])]


def drawn_scene(
    rng: np.random.Generator, paper: Rgb, shapes: tuple[Shape, ...], asked: tuple[Question, ...]
) -> Scene:
    canvas = Canvas(rng, paper)
    for shape in shapes:
        draw_shape(canvas, shape)
    return Scene(canvas.finished(), caption_of(shapes), words_of(shapes), tuple(canvas.marks), asked)


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
    return colours, [every[index] for index in order[:count]], {EVERY: count}


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
        max(0, min(255, pure + shift)) for pure, shift in zip(INKS[shape.colour], tinge, strict=True)
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
