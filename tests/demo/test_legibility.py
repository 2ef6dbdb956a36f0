"""Small print can be read in the pixels of the high tower and not in those of the low one.

The reader is told more than any model: font, ink, paper, how much dirt lies on the paper and how that of
neighbouring pixels hangs together, exactly where every symbol stands, and, while it reads one, all the others.
It holds what it sees against what each symbol of the alphabet would look like there and takes the likeliest."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pytest

from demo.data.canvas import INKS, PAPERS, SMALL_PITCH, SMALL_SIZE, Canvas, Rgb, on_raster
from demo.data.codes import smudge
from demo.data.scene import CANVAS
from demo.data.strings import ALPHABET
from edge_runtime.preprocess import pixels_from_picture
from edge_runtime.spec import PixelSpec, PreprocessSpec

Floats = npt.NDArray[np.float64]
HIGH, LOW = CANVAS, CANVAS // 6
HALF = (0.5, 0.5, 0.5)
BOTH = PreprocessSpec(PixelSpec(LOW, HALF, HALF), PixelSpec(HIGH, HALF, HALF), (127, 127, 127), 14)
LOW_ALONE = PreprocessSpec(
    PixelSpec(LOW, HALF, HALF), None, (127, 127, 127), 14
)  # shrinks with a sharper filter
SYMBOLS, PLACES, CODES_PER_PLACE = 5, 8, 10
BLANKS = 12  # pictures of paper without print, from which the reader learns the dirt


@dataclass(frozen=True)
class Print:
    size: int
    pitch: float
    side: int  # of the tower's square
    reach: int  # the reader looks at so many of the tower's pixels around a symbol's centre
    dirty: bool = True
    spec: PreprocessSpec = BOTH
    ink: Rgb = INKS[0]
    paper: Rgb = PAPERS[1]


SMALL_SEEN_HIGH = Print(SMALL_SIZE, SMALL_PITCH, HIGH, reach=6)
SMALL_SEEN_LOW = Print(SMALL_SIZE, SMALL_PITCH, LOW, reach=3)
LARGE_SEEN_LOW = Print(36, 36, LOW, reach=4)


def ink_seen(canvas: Canvas, print_: Print, grain: bool) -> Floats:
    """How much ink each of the tower's pixels holds, 0 to 1 but for the grain. (side, side)"""
    pixels = pixels_from_picture(canvas.finished() if grain else canvas.image, print_.spec)
    planes = pixels.low if print_.side == LOW else pixels.high
    assert planes is not None
    ink, paper = (np.array(colour) / 255 / 0.5 - 1 for colour in (print_.ink, print_.paper))
    contrast = ink - paper
    seen: Floats = np.tensordot(contrast / (contrast @ contrast), planes - paper[:, None, None], axes=1)
    return seen


def paper_of(seed: int, print_: Print) -> Canvas:
    canvas = Canvas(np.random.default_rng(seed), print_.paper)
    if print_.dirty:
        smudge(canvas, print_.ink)
    return canvas


class Reader:
    """Knows one place where a code stands."""

    def __init__(self, print_: Print, left: float, middle: float) -> None:
        self.print, self.left, self.middle = print_, left, middle
        # (symbols, alphabet, side, side)
        self.shapes = np.array([[self._alone(cell, glyph) for glyph in ALPHABET] for cell in range(SYMBOLS)])
        blanks = np.array([ink_seen(paper_of(seed, print_), print_, True) for seed in range(BLANKS)])
        self.dirt = float(blanks.mean())
        width = 2 * print_.reach + 1
        windows = np.lib.stride_tricks.sliding_window_view(blanks, (width, width), axis=(1, 2))
        step = 2 if print_.side == LOW else 10
        samples = windows[:, ::step, ::step].reshape(-1, width * width)
        self.whiten = np.linalg.inv(np.linalg.cholesky(np.cov(samples.T) + 1e-9 * np.eye(width * width)))

    def _alone(self, cell: int, glyph: str) -> Floats:
        canvas = paper_of(0, replace(self.print, dirty=False))
        self._write(canvas, cell, glyph)
        return ink_seen(canvas, self.print, grain=False)

    def _write(self, canvas: Canvas, cell: int, text: str) -> None:
        left = self.left + cell * self.print.pitch
        canvas.text(left, self.middle, text, self.print.size, self.print.pitch, self.print.ink)

    def read(self, seed: int, code: str) -> str:
        """The code as read from a picture of it, each symbol with the help of all the others."""
        canvas = paper_of(seed, self.print)
        self._write(canvas, 0, code)
        seen = ink_seen(canvas, self.print, grain=True)
        right = [ALPHABET.index(glyph) for glyph in code]
        everything = sum(self.shapes[cell, symbol] for cell, symbol in enumerate(right))
        return "".join(
            self._symbol(cell, seen, everything - self.shapes[cell, symbol])
            for cell, symbol in enumerate(right)
        )

    def _symbol(self, cell: int, seen: Floats, others: Floats) -> str:
        rows, columns = self._window(cell)
        ink = others[rows, columns] + self.shapes[cell][:, rows, columns]
        misses = seen[rows, columns] - self.dirt - (1 - self.dirt) * ink  # dirt lies beneath the print
        misses = misses.reshape(len(ALPHABET), -1)
        return ALPHABET[int(((misses @ self.whiten.T) ** 2).sum(-1).argmin())]

    def _window(self, cell: int) -> tuple[slice, slice]:
        shrink, reach = CANVAS / self.print.side, self.print.reach
        row = int(self.middle / shrink)
        column = int((self.left + (cell + 0.5) * self.print.pitch) / shrink)
        # At the border it sees more of one side: every window is as large.
        top, left = (min(max(0, place - reach), self.print.side - 2 * reach - 1) for place in (row, column))
        return slice(top, top + 2 * reach + 1), slice(left, left + 2 * reach + 1)


def shares_read(print_: Print) -> tuple[float, float]:
    """Of the symbols and of the whole codes."""
    rng = np.random.default_rng(5)
    symbols = codes = 0
    for place in range(PLACES):
        left = float(rng.uniform(0, CANVAS - SYMBOLS * print_.pitch))
        middle = float(rng.uniform(28, CANVAS - 28))
        reader = Reader(print_, *on_raster(left, middle, SYMBOLS, print_.pitch))
        for index in range(CODES_PER_PLACE):
            code = "".join(ALPHABET[symbol] for symbol in rng.integers(0, len(ALPHABET), SYMBOLS))
            read = reader.read(1000 + place * CODES_PER_PLACE + index, code)
            symbols += sum(one == other for one, other in zip(read, code, strict=True))
            codes += read == code
    count = PLACES * CODES_PER_PLACE
    return symbols / count / SYMBOLS, codes / count


def test_small_print_can_be_read_in_the_pixels_of_the_high_tower() -> None:
    symbols, codes = shares_read(SMALL_SEEN_HIGH)
    assert symbols > 0.99
    assert codes > 0.97


@pytest.mark.parametrize(
    "seen",
    [
        SMALL_SEEN_LOW,
        replace(SMALL_SEEN_LOW, spec=LOW_ALONE),
        replace(SMALL_SEEN_LOW, ink=INKS[2], paper=PAPERS[0]),
        replace(SMALL_SEEN_LOW, ink=INKS[2], paper=PAPERS[0], spec=LOW_ALONE),
    ],
    ids=["both towers", "low tower alone", "red on white", "red on white, low tower alone"],
)
def test_small_print_cannot_be_read_in_the_pixels_of_the_low_tower(seen: Print) -> None:
    symbols, codes = shares_read(seen)
    assert symbols < 0.55
    assert codes < 0.05


def test_large_print_can_be_read_in_the_pixels_of_the_low_tower() -> None:
    symbols, codes = shares_read(LARGE_SEEN_LOW)
    assert symbols > 0.99
    assert codes > 0.97


def test_on_clean_paper_the_reader_would_read_small_print_even_there() -> None:
    """So it is the dirt, and not a weakness of the reader, that hides it."""
    symbols, _ = shares_read(replace(SMALL_SEEN_LOW, dirty=False))
    assert symbols > 0.99


@pytest.mark.parametrize("seen", [SMALL_SEEN_HIGH, SMALL_SEEN_LOW, replace(SMALL_SEEN_LOW, spec=LOW_ALONE)])
def test_the_reader_sees_no_ink_on_clean_paper_and_all_of_it_in_a_black_field(seen: Print) -> None:
    canvas = paper_of(0, replace(seen, dirty=False))
    assert np.abs(ink_seen(canvas, seen, grain=False)).max() < 1e-6
    canvas.draw.rectangle((0, 0, CANVAS, CANVAS), fill=seen.ink)
    assert np.abs(ink_seen(canvas, seen, grain=False) - 1).max() < 1e-6
