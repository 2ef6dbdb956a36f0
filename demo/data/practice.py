"""Pages full of meaningless print in every size and colour, for a tower that learns what symbols look like.

A scene holds some forty symbols, a page several hundred: where every symbol teaches, pages teach faster.
Rows are random symbols in runs too short for a code or a word, so there is nothing in them to remember and
no code, word or number of another set is ever seen here; nor are two colours together that another set asks about.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image

from demo.data.canvas import INKS, PAPERS, RASTER, SMALL_PITCH, SMALL_SIZE, Canvas, Rgb, on_raster
from demo.data.codes import INK_NAMES, smudge
from demo.data.scene import CANVAS, Mark
from demo.data.shape import COLOURS, DARKS, GREYS, may_meet
from demo.data.strings import may_be_said

SYMBOLS = "0123456789" * 2 + "ABCDEFGHIJKLMNOPQRSTUVWXYZ" * 2 + "..-"
SMALL, MEDIUM = 0.62, 0.9  # share of rows in the smallest print; of rows in that or the middle sizes
RUN = 3  # symbols in a row at most: the shortest codes and words have one more
BLANK = 0.02  # of the places of a row where a blank needs not be
AIR = (0.4, 1.6)  # pixels; half of what is free between rows
CAPITAL = 0.72  # of the font's size
BROKEN = "X"  # in the middle of what would be a number
WHITE: Rgb = (250, 250, 250)


def practice_page(rng: np.random.Generator) -> tuple[Image.Image, tuple[Mark, ...]]:
    """Rows of print down to the bottom, on paper that is dirty every other time."""
    dark = DARKS + GREYS
    is_dark = bool(rng.random() < 0.2)
    paper = dark[int(rng.integers(len(dark)))] if is_dark else PAPERS[int(rng.integers(len(PAPERS)))]
    canvas = Canvas(rng, paper)
    ink = WHITE if is_dark else INKS[int(rng.integers(len(INKS)))]
    if rng.random() < 0.5:
        smudge(canvas, ink)
    shown = set() if is_dark else {INK_NAMES[ink]}
    top = 0.0
    while True:
        size, pitch = drawn_print(rng)
        half, air = CAPITAL / 2 * size, float(rng.uniform(*AIR))
        middle = below(top + half)
        if middle + half > CANVAS:
            return canvas.finished(), tuple(canvas.marks)
        row(canvas, middle, half + min(air, AIR[0]), size, pitch, ink, shown)
        top = middle + half + 2 * air


def drawn_print(rng: np.random.Generator) -> tuple[int, int]:
    """Font size and pitch."""
    kind = rng.random()
    if kind < SMALL:
        return SMALL_SIZE, SMALL_PITCH
    if kind < MEDIUM:
        return int(rng.integers(SMALL_SIZE - 1, SMALL_SIZE + 4)), SMALL_PITCH
    pitch = int(RASTER * rng.integers(2, 4))
    return int(rng.integers(28, 34 if pitch == 24 else 41)), pitch


def below(middle: float) -> float:
    """The next place of the raster for a row's middle: rows that are moved there otherwise could touch."""
    return math.ceil(middle / RASTER - 0.5) * RASTER + RASTER / 2


def row(canvas: Canvas, middle: float, half: float, size: int, pitch: int, ink: Rgb, shown: set[str]) -> None:
    """`shown` are the colours on the page; the row's panel is one of them afterwards."""
    rng = canvas.rng
    left, _ = on_raster(float(rng.uniform(0, pitch)), middle, CANVAS // pitch - 1, pitch)
    count = int((CANVAS - left) / pitch)
    text = broken(rng, rng.choice(list(SYMBOLS), count).tolist())
    if rng.random() < 0.3:
        names = [name for name in COLOURS if may_meet("train", name, *shown)]
        name = names[int(rng.integers(len(names)))]
        shown.add(name)
        panel = COLOURS[name][0]
        canvas.draw.rectangle((left - 1, middle - half, left + count * pitch, middle + half), fill=panel)
        ink = WHITE if sum(panel) < 450 else INKS[0]
    canvas.text(left, middle, text, size, pitch, ink)


def broken(rng: np.random.Generator, symbols: Sequence[str]) -> str:
    """With blanks instead of some symbols, so that none stands in a run of more than `RUN`."""
    text, run = "", int(rng.integers(RUN))
    for symbol, share in zip(symbols, rng.random(len(symbols)).tolist(), strict=True):
        is_blank = run == RUN or share < BLANK
        text, run = text + (" " if is_blank else symbol), 0 if is_blank else run + 1
    return " ".join(map(unread, text.split(" ")))


def unread(run: str) -> str:
    """The run; where it is a number that another set asks about, broken behind its first symbol."""
    return run if may_be_said("train", run) else run[0] + BROKEN + run[2:]
