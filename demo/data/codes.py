"""Labels and signs: one or two large codes or words, and small print only the high tower can read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from demo.data.canvas import INKS, PAPERS, RASTER, SMALL_PITCH, Canvas, Rgb
from demo.data.scene import CANVAS, Box, Question, Scene
from demo.data.shapes import colours_key
from demo.data.split import Split, drawn
from demo.data.strings import drawn_code, drawn_length, words_of

PANELS: dict[str, tuple[Rgb, Rgb]] = {  # the panel's colour and the ink that stands out on it
    "red": ((200, 30, 36), (255, 255, 255)),
    "green": ((24, 128, 56), (255, 255, 255)),
    "blue": ((32, 72, 200), (255, 255, 255)),
    "yellow": ((248, 214, 40), (16, 16, 16)),
    "orange": ((244, 140, 28), (16, 16, 16)),
    "purple": ((124, 44, 160), (255, 255, 255)),
}
KEYS = ("SER", "LOT", "REF", "BIN", "TAG", "BOX", "KEY", "LOC", "BAY", "UNIT", "TYPE", "PART", "DATE", "ZONE")
INK_NAMES = dict(zip(INKS, ("black", "blue", "red", "green"), strict=True))
COUNTED = ("no lines", "1 line", "2 lines", "3 lines", "4 lines", "5 lines")
MARGIN = 3  # pixels free at the border and between blocks
LINE_HEIGHT = 13
SMUDGE, SMUDGE_CELL = 0.4, 3  # at most this share of ink; pixels from one smudge to the next
CELL = 32  # pixels; a layout is where its blocks lie on this coarse grid


@dataclass(frozen=True)
class Panel:
    """A large code or word to be drawn; `word` is empty where a code of `length` symbols will stand."""

    word: str
    length: int
    size: int
    pitch: float
    pad: int

    @property
    def width(self) -> float:
        return self.length * self.pitch + 2 * self.pad

    @property
    def height(self) -> float:
        return 0.72 * self.size + 2 * self.pad


@dataclass(frozen=True)
class Plan:
    """Where everything lies, from top to bottom, before anything is drawn."""

    panels: tuple[Panel, ...]
    panel_boxes: tuple[Box, ...]
    line_lengths: tuple[int, ...]  # symbols of each line's value
    line_keys: tuple[str, ...]
    line_boxes: tuple[Box, ...]

    @property
    def layout(self) -> str:
        cells = [f"{int(box[0] // CELL)},{int(box[1] // CELL)}" for box in self.panel_boxes + self.line_boxes]
        lengths = [panel.length for panel in self.panels]
        return f"{lengths}/{list(self.line_lengths)}/{' '.join(cells)}"


@dataclass(frozen=True)
class Sign:
    """A large code or word as drawn."""

    noun: str  # "code" or "word"
    text: str
    colour: str  # empty without a panel


def codes_scene(rng: np.random.Generator, split: Split) -> Scene:
    """A label whose large print both towers can read and whose small print only the high one can."""
    plan = drawn(split, "layout/codes", lambda: _plan(rng, split), lambda plan: plan.layout)
    canvas = Canvas(rng, PAPERS[int(rng.integers(len(PAPERS)))])
    ink = INKS[int(rng.integers(len(INKS)))]
    smudge(canvas, ink)
    signs = _drawn_signs(canvas, plan, split)
    lines: list[tuple[str, str]] = []
    for key, length, box in zip(plan.line_keys, plan.line_lengths, plan.line_boxes, strict=True):
        value = drawn_code(rng, split, length)
        canvas.small_text(box[0], (box[1] + box[3]) / 2, f"{key} {value}", ink)
        lines.append((key, value))
    return Scene(
        picture=canvas.finished(),
        caption=_caption(signs, len(lines), INK_NAMES[ink]),
        words=_words(signs, lines),
        marks=tuple(canvas.marks),
        questions=(*_large_questions(rng, signs), *_small_questions(rng, lines)),
    )


def smudge(canvas: Canvas, ink: Rgb) -> None:
    """Dirties the paper with pale spots of the small print's own ink, each as large as its strokes are far
    apart: this, not the small number of pixels, is what hides small print at a quarter of the size. On clean
    paper the greys that are left of a symbol still give it away (tests/demo/test_legibility.py)."""
    cells = CANVAS // SMUDGE_CELL + 2
    shares = (canvas.rng.random((cells, cells)) * (255 * SMUDGE)).astype(np.uint8)
    side, (left, top) = cells * SMUDGE_CELL, canvas.rng.integers(0, SMUDGE_CELL, 2).tolist()
    mask = Image.fromarray(shares).resize((side, side), Image.Resampling.BICUBIC)
    canvas.image.paste(ink, (0, 0), mask.crop((left, top, left + CANVAS, top + CANVAS)))


def drawn_colours(rng: np.random.Generator, split: Split, count: int) -> list[str]:
    """Different colours of panels; two or more begin with a pair of this set."""

    def draw() -> list[str]:
        return [tuple(PANELS)[index] for index in rng.choice(len(PANELS), count, replace=False).tolist()]

    if count < 2:
        return draw()
    return drawn(split, "colours", draw, lambda colours: colours_key(*colours[:2]))


def phrased(rng: np.random.Generator, *phrasings: str) -> str:
    return phrasings[int(rng.integers(len(phrasings)))]


def with_article(word: str) -> str:
    return f"an {word}" if word == "orange" else f"a {word}"


def _plan(rng: np.random.Generator, split: Split) -> Plan:
    mode = int(rng.integers(10))  # 2 in 10 large print only, 3 small print only, 5 both
    panel_count = 0 if mode in (2, 3, 4) else int(rng.integers(1, 3))
    least, most = (0, 0) if mode < 2 else (3, 5) if panel_count == 0 else (1, 4)
    lengths = tuple(rng.integers(4, 7, int(rng.integers(least, most + 1))).tolist())
    panels = tuple(_panel(rng, split, panel_count) for _ in range(panel_count))
    keys = tuple(KEYS[index] for index in rng.choice(len(KEYS), len(lengths), replace=False).tolist())
    widths = [(len(key) + 1 + length) * float(SMALL_PITCH) for key, length in zip(keys, lengths, strict=True)]
    panel_boxes, line_boxes = _placed(rng, panels, widths)
    return Plan(panels, panel_boxes, lengths, keys, line_boxes)


def _panel(rng: np.random.Generator, split: Split, count: int) -> Panel:
    word = ""
    if rng.random() < 0.35:
        word = words_of(split)[int(rng.integers(len(words_of(split))))]
    length = len(word) or drawn_length(rng)
    pad = int(rng.integers(4, 7))
    size = int(rng.integers(34, 41 if count == 2 else 47))
    least = (0.86 if {"M", "W"} & set(word) else 0.76) * size  # wide glyphs must not touch
    most = min(40.0, (CANVAS - 2 * MARGIN - 2 * pad) / length)
    if least > most:
        size, least = 34, min(most, least / size * 34)
    pitch = RASTER * math.ceil(rng.uniform(least, most) / RASTER)
    return Panel(word, length, size, float(pitch if pitch <= most else pitch - RASTER), pad)


def _placed(
    rng: np.random.Generator, panels: Sequence[Panel], widths: Sequence[float]
) -> tuple[tuple[Box, ...], tuple[Box, ...]]:
    """Panels and lines below each other in a random order, the free height shared out at random."""
    sizes = [(panel.width, panel.height) for panel in panels] + [(width, LINE_HEIGHT) for width in widths]
    order = _order(rng, len(panels), len(widths))
    free = CANVAS - 2 * MARGIN - sum(height + MARGIN for _, height in sizes)
    assert free >= 0, "the blocks are too tall for the canvas"
    cuts = np.sort(rng.uniform(0, free, len(sizes))).tolist()
    column = rng.uniform(0, 1)
    aligned = rng.random() < 0.5  # small print in one column, or each line anywhere
    boxes: list[Box] = [(0.0, 0.0, 0.0, 0.0)] * len(sizes)
    used = float(MARGIN)
    for cut, index in zip(cuts, order, strict=True):
        width, height = sizes[index]
        share = column if aligned and index >= len(panels) else rng.uniform(0, 1)
        room = CANVAS - 2 * MARGIN - (max(widths) if aligned and index >= len(panels) else width)
        left, top = MARGIN + share * room, used + cut
        boxes[index] = (left, top, left + width, top + height)
        used += height + MARGIN
    return tuple(boxes[: len(panels)]), tuple(boxes[len(panels) :])


def _order(rng: np.random.Generator, panel_count: int, line_count: int) -> list[int]:
    """Panels keep their order and so do lines; where panels stand among the lines is random."""
    places = set(rng.choice(panel_count + line_count, panel_count, replace=False).tolist())
    panels, lines = iter(range(panel_count)), iter(range(panel_count, panel_count + line_count))
    return [next(panels) if place in places else next(lines) for place in range(panel_count + line_count)]


def _drawn_signs(canvas: Canvas, plan: Plan, split: Split) -> list[Sign]:
    rng = canvas.rng
    coloured = [bool(rng.random() < 0.6) for _ in plan.panels]
    colours = drawn_colours(rng, split, sum(coloured))
    inks = [ink for ink in INKS if INK_NAMES[ink] not in colours]  # "the blue sign" is the blue panel
    signs: list[Sign] = []
    waiting = iter(colours)
    for panel, box, is_coloured in zip(plan.panels, plan.panel_boxes, coloured, strict=True):
        text = panel.word or drawn_code(rng, split, panel.length)
        colour = next(waiting) if is_coloured else ""
        ink = inks[int(rng.integers(len(inks)))]
        if colour:
            fill, ink = PANELS[colour]
            canvas.draw.rounded_rectangle(box, panel.pad, fill=fill)
            canvas.mark(f"{colour} sign", box)
        canvas.text(box[0] + panel.pad, (box[1] + box[3]) / 2, text, panel.size, panel.pitch, ink)
        signs.append(Sign("word" if panel.word else "code", text, colour))
    return signs


def _caption(signs: Sequence[Sign], line_count: int, ink: str) -> str:
    large = [f"{with_article(sign.colour or 'large')} sign with {sign.text}" for sign in signs]
    small = [f"{COUNTED[line_count]} of small {ink} print"] if line_count else []
    return " above ".join(large) + (" and " if large and small else "") + "".join(small)


def _words(signs: Sequence[Sign], lines: Sequence[tuple[str, str]]) -> str:
    places = ("large",) if len(signs) == 1 else ("top", "bottom")
    large = [
        " ".join(filter(None, (place, sign.colour, "sign", sign.noun, sign.text)))
        for place, sign in zip(places, signs, strict=False)
    ]
    small = [f"small print {key} {value}" for key, value in lines]
    return " . ".join(large + small)


def _large_questions(rng: np.random.Generator, signs: Sequence[Sign]) -> list[Question]:
    asked: list[tuple[str, str]] = []
    places = ("large",) if len(signs) == 1 else ("top", "bottom")
    for place, sign in zip(places, signs, strict=False):
        what = phrased(rng, f"what is the {place} {sign.noun}?", f"what does the {place} sign say?")
        asked.append((what, sign.text))
        if sign.colour:
            ask = phrased(rng, "what does the {} sign say?", "read the {} sign.")
            asked.append((ask.format(sign.colour), sign.text))
        if len(signs) == 2 and [other.noun for other in signs].count(sign.noun) == 1:
            asked.append((f"what is the large {sign.noun}?", sign.text))
    return [Question("code", text, answer) for text, answer in asked]


def _small_questions(rng: np.random.Generator, lines: Sequence[tuple[str, str]]) -> list[Question]:
    asked: list[tuple[str, str]] = []
    for key, value in lines:
        ask = phrased(rng, "what is the {}?", "what does the {} say?", "read the {}.")
        asked.append((ask.format(key), value))
    if len(lines) == 1:
        ask = phrased(rng, "what does the small print say?", "read the small print.")
        asked.append((ask, " ".join(lines[0])))
    if len(lines) > 1:
        for place, line in (("first", lines[0]), ("last", lines[-1])):
            ask = phrased(rng, "what is the {} line of small print?", "read the {} line of small print.")
            asked.append((ask.format(place), " ".join(line)))
    return [Question("small_print", text, answer) for text, answer in asked]
