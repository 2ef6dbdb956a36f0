"""Labels and signs: one or two large codes or words, and small print only the high tower can read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from demo.data.canvas import INKS, PAPERS, RASTER, SMALL_PITCH, SMALL_SIZE, Canvas, Rgb, on_raster
from demo.data.scene import CANVAS, Box, Question, Scene
from demo.data.shape import colours_key, may_meet
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
MARGIN, EDGE = 3, 0.9  # pixels free between blocks and above and below all of them
SIDE = 2  # pixels a panel stays away from the left and right border
CAPITAL = 0.36  # of the font's size: half of a capital's height
LEADING = 24  # pixels from line to line
WIDE, NARROW = 36, 24  # pitches of large print
LEAST_SIZE = 28  # of large print's font: capitals are 20 pixels tall
SMUDGE, SMUDGE_CELL = 0.4, 3  # at most this share of ink; pixels from one smudge to the next
COLOURED, DRILL_COLOURED = 0.6, 0.9  # shares of signs with a panel of some colour
CELL = 32  # pixels; a layout is where its blocks lie on this coarse grid


@dataclass(frozen=True)
class Panel:
    """A large code or word to be drawn; `word` is empty where a code of `length` symbols will stand."""

    word: str
    length: int
    size: int
    pitch: int
    pad: int

    @property
    def half(self) -> float:
        """Of its height."""
        return CAPITAL * self.size + self.pad

    def box(self, left: float, middle: float) -> Box:
        """Around print that starts at `left`; cells of print have air of their own where there is no room."""
        right = left + self.length * self.pitch + self.pad
        return (
            max(SIDE, left - self.pad),
            middle - self.half,
            min(CANVAS - SIDE, right),
            middle + self.half,
        )


Place = tuple[float, float]  # where a line of print starts, and its middle


@dataclass(frozen=True)
class Plan:
    """Where everything lies, from top to bottom, before anything is drawn."""

    panels: tuple[Panel, ...]
    panel_places: tuple[Place, ...]
    line_lengths: tuple[int, ...]  # symbols of each line's value
    line_keys: tuple[str, ...]
    line_places: tuple[Place, ...]

    @property
    def layout(self) -> str:
        places = self.panel_places + self.line_places
        cells = [f"{int(left // CELL)},{int(middle // CELL)}" for left, middle in places]
        lengths = [panel.length for panel in self.panels]
        return f"{lengths}/{list(self.line_lengths)}/{' '.join(cells)}"


@dataclass(frozen=True)
class Sign:
    """A large code or word as drawn."""

    noun: str  # "code" or "word"
    text: str
    colour: str  # empty without a panel


def codes_scene(rng: np.random.Generator, split: Split, is_drill: bool = False) -> Scene:
    """A label whose large print both towers can read and whose small print only the high one can; a drill is two signs
    that have to be told apart."""
    plan = drawn(split, "layout/codes", lambda: _plan(rng, split, is_drill), lambda plan: plan.layout)
    canvas = Canvas(rng, PAPERS[int(rng.integers(len(PAPERS)))])
    ink = INKS[int(rng.integers(len(INKS)))]
    smudge(canvas, ink)
    coloured_share = DRILL_COLOURED if is_drill else COLOURED
    signs = _drawn_signs(canvas, plan, split, coloured_share, INK_NAMES[ink])
    lines: list[tuple[str, str]] = []
    for key, length, place in zip(plan.line_keys, plan.line_lengths, plan.line_places, strict=True):
        value = drawn_code(rng, split, length)
        canvas.small_text(*place, f"{key} {value}", ink)
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
    apart: this, not the small number of pixels, is what hides small print at a sixth of the size. On clean
    paper the greys that are left of a symbol still give it away (tests/demo/test_legibility.py)."""
    cells = CANVAS // SMUDGE_CELL + 2
    shares = (canvas.rng.random((cells, cells)) * (255 * SMUDGE)).astype(np.uint8)
    side, (left, top) = cells * SMUDGE_CELL, canvas.rng.integers(0, SMUDGE_CELL, 2).tolist()
    mask = Image.fromarray(shares).resize((side, side), Image.Resampling.BICUBIC)
    canvas.image.paste(ink, (0, 0), mask.crop((left, top, left + CANVAS, top + CANVAS)))


def drawn_colours(rng: np.random.Generator, split: Split, count: int, beside: str = "") -> list[str]:
    """Different colours of panels; two or more begin with a pair of this set. In training they may all stand together,
    and `beside` another colour, too."""

    def draw() -> list[str]:
        while True:
            chosen = rng.choice(len(PANELS), count, replace=False).tolist()
            colours = [tuple(PANELS)[index] for index in chosen]
            if may_meet(split, *filter(None, (beside, *colours))):
                return colours

    if count < 2:
        return draw()
    return drawn(split, "colours", draw, lambda colours: colours_key(*colours[:2]))


def phrased(rng: np.random.Generator, *phrasings: str) -> str:
    return phrasings[int(rng.integers(len(phrasings)))]


def with_article(word: str) -> str:
    return f"an {word}" if word == "orange" else f"a {word}"


def _plan(rng: np.random.Generator, split: Split, is_drill: bool) -> Plan:
    mode = 0 if is_drill else int(rng.integers(10))  # 2 in 10 large print only, 3 small print only, 5 both
    panel_count = 0 if mode in (2, 3, 4) else 2 if is_drill else int(rng.integers(1, 3))
    least, most = (0, 0) if mode < 2 else (3, 5) if panel_count == 0 else (1, 4)
    lengths = tuple(rng.integers(4, 7, int(rng.integers(least, most + 1))).tolist())
    panels = tuple(_panel(rng, split, panel_count) for _ in range(panel_count))
    keys = tuple(KEYS[index] for index in rng.choice(len(KEYS), len(lengths), replace=False).tolist())
    symbols = [len(key) + 1 + length for key, length in zip(keys, lengths, strict=True)]
    panel_places, line_places = _placed(rng, panels, symbols)
    return Plan(panels, panel_places, lengths, keys, line_places)


def _panel(rng: np.random.Generator, split: Split, count: int) -> Panel:
    word = ""
    if rng.random() < 0.35:
        words = [
            word for word in words_of(split) if not ({"M", "W"} & set(word) and len(word) > CANVAS // WIDE)
        ]
        word = words[int(rng.integers(len(words)))]
    length = len(word) or drawn_length(rng)
    wide_glyphs = bool({"M", "W"} & set(word))  # they must not touch their neighbours
    is_wide = length <= CANVAS // WIDE and (wide_glyphs or bool(rng.integers(2)))
    most = (36 if wide_glyphs or length == CANVAS // WIDE else 40) if is_wide else 30
    pad = 4
    if count == 2:
        most = min(most, 33)  # two panels and four lines fit however they follow each other
    else:
        pad = int(rng.integers(4, 7))
    size = int(rng.integers(LEAST_SIZE, most + 1))
    return Panel(word, length, size, WIDE if is_wide else NARROW, pad)


def _placed(
    rng: np.random.Generator, panels: Sequence[Panel], symbols: Sequence[int]
) -> tuple[tuple[Place, ...], tuple[Place, ...]]:
    """Panels and lines below each other in a random order, the free height shared out at random."""
    halves = [panel.half for panel in panels] + [CAPITAL * SMALL_SIZE] * len(symbols)
    order = _order(rng, len(panels), len(symbols))
    middles = _middles(rng, [halves[index] for index in order])
    share, aligned = rng.uniform(0, 1), rng.random() < 0.5  # small print in one column, or each line anywhere
    places: list[Place] = [(0.0, 0.0)] * len(order)
    for middle, index in zip(middles, order, strict=True):
        if index < len(panels):
            places[index] = _somewhere(rng.uniform(0, 1), middle, panels[index].length, panels[index].pitch)
        elif aligned:
            places[index] = _somewhere(share, middle, max(symbols), SMALL_PITCH)
        else:
            places[index] = _somewhere(rng.uniform(0, 1), middle, symbols[index - len(panels)], SMALL_PITCH)
    return tuple(places[: len(panels)]), tuple(places[len(panels) :])


def _middles(rng: np.random.Generator, halves: Sequence[float]) -> list[float]:
    """Of blocks below each other, half as tall as `halves`: each in the middle of a row of the raster."""
    middles: list[float] = []
    for index, half in enumerate(halves):
        if not middles:
            middles.append(_ceiled(half + EDGE - RASTER / 2) + RASTER / 2)
        else:
            middles.append(middles[-1] + max(LEADING, _ceiled(halves[index - 1] + half + MARGIN)))
    free = int((CANVAS - EDGE - halves[-1] - middles[-1]) // RASTER)
    assert free >= 0, "the blocks are too tall for the canvas"
    cuts = np.sort(rng.integers(0, free + 1, len(halves))).tolist()
    return [middle + RASTER * cut for middle, cut in zip(middles, cuts, strict=True)]


def _ceiled(extent: float) -> int:
    return RASTER * math.ceil(extent / RASTER)


def _somewhere(share: float, middle: float, symbols: int, pitch: int) -> Place:
    """So far between the leftmost and the rightmost place of the raster."""
    return on_raster(share * (CANVAS - symbols * pitch), middle, symbols, pitch)


def _order(rng: np.random.Generator, panel_count: int, line_count: int) -> list[int]:
    """Panels keep their order and so do lines; where panels stand among the lines is random."""
    places = set(rng.choice(panel_count + line_count, panel_count, replace=False).tolist())
    panels, lines = iter(range(panel_count)), iter(range(panel_count, panel_count + line_count))
    return [next(panels) if place in places else next(lines) for place in range(panel_count + line_count)]


def _drawn_signs(
    canvas: Canvas, plan: Plan, split: Split, coloured_share: float, small_print: str
) -> list[Sign]:
    """`small_print` is the name of its ink."""
    rng = canvas.rng
    coloured = [bool(rng.random() < coloured_share) for _ in plan.panels]
    colours = drawn_colours(rng, split, sum(coloured), small_print)
    shown = {small_print, *colours}
    signs: list[Sign] = []
    waiting = iter(colours)
    for panel, place, is_coloured in zip(plan.panels, plan.panel_places, coloured, strict=True):
        text = panel.word or drawn_code(rng, split, panel.length)
        colour = next(waiting) if is_coloured else ""
        # "the blue sign" is the blue panel, so no other sign is written in blue
        inks = [
            ink for ink in INKS if INK_NAMES[ink] not in colours and may_meet(split, INK_NAMES[ink], *shown)
        ]
        ink = inks[int(rng.integers(len(inks)))]
        if not colour:
            shown.add(INK_NAMES[ink])
        if colour:
            fill, ink = PANELS[colour]
            box = panel.box(*place)
            canvas.draw.rounded_rectangle(box, panel.pad, fill=fill)
            canvas.mark(f"{colour} sign", box)
        canvas.text(*place, text, panel.size, panel.pitch, ink)
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
