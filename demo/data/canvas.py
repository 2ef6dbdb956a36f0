"""Where scenes are drawn: backgrounds, glyphs at a fixed pitch, shapes; every stroke leaves its mark."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from demo.data.scene import CANVAS, Box, Mark

Rgb = tuple[int, int, int]
PAPERS: tuple[Rgb, ...] = ((255, 255, 255), (246, 240, 226), (228, 236, 244), (236, 244, 228))
INKS: tuple[Rgb, ...] = ((16, 16, 16), (24, 32, 96), (96, 16, 24), (12, 72, 40))
RASTER = 12  # pixels; every printed symbol has its middle in the middle of a cell of this raster
SMALL_SIZE, SMALL_PITCH = 14, RASTER  # font size and glyph spacing in pixels: 2 wide after shrinking to 1/6
NOISE = 6  # of 255, per channel and pixel


@lru_cache(maxsize=64)
def font_of(size: int) -> ImageFont.FreeTypeFont:
    """The one scalable font that comes with Pillow (Aileron; Latin letters, no Chinese)."""
    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont), "this Pillow was built without FreeType"
    return font


@lru_cache(maxsize=64)
def capital_of(size: int) -> int:
    """How tall a capital of this font is, in pixels."""
    return -int(font_of(size).getbbox("H", anchor="ms")[1])


def on_raster(left: float, middle: float, symbols: int, pitch: float) -> tuple[float, float]:
    """Where a line starts and where its middle lies, as printers and displays set type: not just anywhere."""
    assert pitch % RASTER == 0, "symbols would not keep to the middles of cells"
    half = RASTER / 2
    shift = (half - pitch / 2) % RASTER  # symbols an even number of cells wide begin in the middle of one
    most = (CANVAS - symbols * pitch - shift) // RASTER * RASTER
    start = max(0.0, min(most, round((left - shift) / RASTER) * RASTER))
    return start + shift, round((middle - half) / RASTER) * RASTER + half


class Canvas:
    """A square picture in the making."""

    def __init__(self, rng: np.random.Generator, paper: Rgb) -> None:
        self.rng = rng
        self.image = Image.new("RGB", (CANVAS, CANVAS), paper)
        self.draw = ImageDraw.Draw(self.image)
        self.marks: list[Mark] = []

    def mark(self, label: str, box: Box) -> None:
        self.marks.append(Mark(label, box))

    def text(
        self,
        left: float,
        middle: float,
        text: str,
        size: int,
        pitch: float,
        ink: Rgb,
        is_free: bool = False,
    ) -> Box:
        """One line at a fixed pitch, its glyphs centred in their cells and marked; returns its box.

        Lines are moved to the nearest place of the raster, unless `is_free`: numbers on a dial belong to its ticks.
        """
        if not is_free:
            left, middle = on_raster(left, middle, len(text), pitch)
        font, tall = font_of(size), 0.36 * size  # half of a capital's height
        base = (
            middle + capital_of(size) // 2
        )  # the font's own middle is up to two pixels off that of capitals
        for index, glyph in enumerate(text):
            if glyph == " ":
                continue
            centre = left + (index + 0.5) * pitch
            self.draw.text((centre, base), glyph, font=font, fill=ink, anchor="ms")
            self.mark(glyph, (centre - pitch / 2, middle - tall, centre + pitch / 2, middle + tall))
        return (left, middle - tall, left + len(text) * pitch, middle + tall)

    def small_text(self, left: float, middle: float, text: str, ink: Rgb) -> Box:
        """The smallest legible line; at a sixth of the size nothing of it can be read."""
        return self.text(left, middle, text, SMALL_SIZE, SMALL_PITCH, ink)

    def finished(self) -> Image.Image:
        """With the grain of a real camera, so that no two pictures share a pixel-perfect background."""
        grain = self.rng.integers(-NOISE, NOISE + 1, (CANVAS, CANVAS, 3))
        pixels = np.clip(np.asarray(self.image).astype(np.int64) + grain, 0, 255)
        return Image.fromarray(pixels.astype(np.uint8))
