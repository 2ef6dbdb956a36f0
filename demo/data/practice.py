"""Pages full of meaningless print in every size and colour, for a tower that learns what symbols look like.

A scene holds some forty symbols, a page several hundred: where every symbol teaches, pages teach faster.
Rows are random symbols, so there is nothing in them to remember.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from demo.data.canvas import INKS, PAPERS, RASTER, SMALL_PITCH, SMALL_SIZE, Canvas, Rgb
from demo.data.codes import smudge
from demo.data.scene import CANVAS, Mark
from demo.data.shapes import COLOURS, DARKS, GREYS

SYMBOLS = "0123456789" * 2 + "ABCDEFGHIJKLMNOPQRSTUVWXYZ" * 2 + "..-"
SMALL, MEDIUM = 0.55, 0.85  # share of rows in the smallest print; of rows in that or the middle sizes
BLANK = 0.12  # of the places of a row
MARGIN = 2
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
    top = float(rng.uniform(MARGIN, 10))
    while True:
        size, pitch = drawn_print(rng)
        tall = 0.72 * size + float(rng.uniform(3, 8))
        if top + tall > CANVAS - MARGIN:
            return canvas.finished(), tuple(canvas.marks)
        row(canvas, top, tall, size, pitch, ink)
        top += tall


def drawn_print(rng: np.random.Generator) -> tuple[int, float]:
    """Font size and pitch."""
    kind = rng.random()
    if kind < SMALL:
        return SMALL_SIZE, SMALL_PITCH
    if kind < MEDIUM:
        return int(rng.integers(12, 17)), 12.0
    pitch = float(RASTER * rng.integers(4, 11))
    return int(pitch * rng.uniform(1.2, 1.35)), pitch


def row(canvas: Canvas, top: float, tall: float, size: int, pitch: float, ink: Rgb) -> None:
    rng = canvas.rng
    left = float(rng.uniform(MARGIN, MARGIN + pitch))
    count = int((CANVAS - MARGIN - left) / pitch)
    symbols = rng.choice(list(SYMBOLS), count)
    blanks = rng.random(count) < BLANK
    text = "".join(" " if is_blank else str(symbol) for symbol, is_blank in zip(symbols, blanks, strict=True))
    if rng.random() < 0.3:
        name = tuple(COLOURS)[int(rng.integers(len(COLOURS)))]
        panel = COLOURS[name][0]
        canvas.draw.rectangle((left - 2, top, left + count * pitch + 2, top + tall), fill=panel)
        ink = WHITE if sum(panel) < 450 else INKS[0]
    canvas.text(left, top + tall / 2, text, size, pitch, ink)
