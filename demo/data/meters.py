"""Seven-segment displays: one or two meters with a small printed name each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from demo.data.canvas import PAPERS, RASTER, SMALL_PITCH, SMALL_SIZE, Canvas, Rgb
from demo.data.charts import CHINESE, COLOURS, NAMES, asked, drawn_looks, layout_key
from demo.data.scene import CANVAS, Box, Question, Scene
from demo.data.split import Split, drawn
from demo.data.strings import NUMBER, number_key

LIT: dict[str, Rgb] = {
    "red": (255, 48, 40),
    "green": (60, 232, 90),
    "orange": (255, 160, 32),
    "black": (20, 24, 20),
}
GLASS: Rgb = (34, 30, 32)
LCD: Rgb = (172, 184, 166)  # behind black digits
QUANTITIES = ("VOLT", "AMP", "WATT", "KWH", "TEMP", "FLOW", "RPM", "HZ", "FUEL", "GAS", "LOAD", "PUMP")
INK: Rgb = (24, 24, 24)
EDGE, FRAME, PADDING, HALF_NAME = 2, 5, 5, 6  # pixels
SIDE = 4  # pixels of frame beside the digits, which have room of their own
WIDE, SLIM = 0.6, 0.13  # of the pitch: a digit's width; of its height: its strokes
NARROW, BROAD = 24, 36  # pixels from digit to digit
TALL: dict[int, tuple[int, int]] = {NARROW: (26, 34), BROAD: (46, 52)}  # pixels, of the digits
BELOW_NAME: dict[int, int] = {NARROW: 36, BROAD: 48}  # pixels from the name's middle to the digits'
POINT: dict[int, int] = {NARROW: 12, BROAD: 15}  # pixels from a digit's middle to a point after it
TRIES = 24  # to lay two meters apart
SEGMENTS: dict[str, str] = {
    "0": "abcdef",
    "1": "bc",
    "2": "abdeg",
    "3": "abcdg",
    "4": "bcfg",
    "5": "acdfg",
    "6": "acdefg",
    "7": "abc",
    "8": "abcdefg",
    "9": "abcdfg",
    "-": "g",
}


@dataclass(frozen=True)
class Panel:
    """A display before it shows anything, its name above it; `left` and `middle` are those of its name."""

    left: int
    middle: int
    pitch: int
    tall: int
    digits: int
    decimals: int
    minus: bool

    @property
    def places(self) -> int:
        return self.digits + self.minus

    @property
    def digits_middle(self) -> int:
        return self.middle + BELOW_NAME[self.pitch]

    @property
    def digits_left(self) -> int:
        """Where the first digit's place starts; its middle is that of a cell of the raster."""
        return self.left + (RASTER // 2 if self.pitch == NARROW else RASTER)

    @property
    def box(self) -> Box:
        """The frame with the name above it."""
        left, right = self.digits_left - SIDE, self.digits_left + self.places * self.pitch + SIDE
        bottom = self.digits_middle + self.tall / 2 + PADDING + FRAME
        return (left, self.middle - HALF_NAME, right, bottom)

    @property
    def frame_top(self) -> float:
        return self.digits_middle - self.tall / 2 - PADDING - FRAME


@dataclass(frozen=True)
class Meter:
    """What a panel shows; `side` is empty when it is the only one."""

    panel: Panel
    side: str
    name: str
    reading: str
    lit: str
    frame: str


def _panel(rng: np.random.Generator, broad: bool, small: bool = False) -> Panel:
    """Size and format of one display in the top left corner; two small ones fit side by side."""
    digits, minus = int(rng.integers(3, 7)), bool(rng.random() < 0.2)
    if small:
        digits, minus = 3, False
    decimals = int(rng.integers(1, digits)) if rng.random() < 0.5 else 0
    pitch = BROAD if broad and digits + minus <= CANVAS // BROAD - 1 else NARROW
    low, high = TALL[pitch]
    return Panel(0, RASTER // 2, pitch, int(rng.integers(low, high + 1)), digits, decimals, minus)


def _one(rng: np.random.Generator) -> tuple[Panel, ...]:
    panel = _panel(rng, bool(rng.random() < 0.7))
    return (_moved(rng, panel),)


def _moved(rng: np.random.Generator, panel: Panel) -> Panel:
    """Anywhere on the raster where nothing is cut."""
    left, _, right, bottom = panel.box
    lefts = [x for x in range(0, CANVAS, RASTER) if left + x >= EDGE and right + x <= CANVAS - EDGE]
    downs = [y for y in range(0, CANVAS, RASTER) if bottom + y <= CANVAS - EDGE]
    across, down = lefts[int(rng.integers(len(lefts)))], downs[int(rng.integers(len(downs)))]
    return replace(panel, left=across, middle=panel.middle + down)


def _two(rng: np.random.Generator) -> tuple[Panel, ...]:
    """Side by side where that was meant, else one above the other; drawn until they lie apart."""
    small = bool(rng.random() < 0.3)
    one, other = (_panel(rng, not small and bool(rng.random() < 0.3), small) for _ in range(2))
    axis = 0 if small else 1
    for _ in range(TRIES):
        panels = sorted((_moved(rng, one), _moved(rng, other)), key=lambda panel: panel.box[axis])
        if panels[1].box[axis] - panels[0].box[axis + 2] >= EDGE:
            return tuple(panels)
    return _two(rng)


def _sides(panels: tuple[Panel, ...]) -> tuple[str, ...]:
    if len(panels) == 1:
        return ("",)
    return ("left", "right") if panels[1].box[0] >= panels[0].box[2] else ("top", "bottom")


def _reading(rng: np.random.Generator, panel: Panel) -> str:
    """Never zero; no zeros in front, but the one before a point."""
    digits = "".join(str(digit) for digit in rng.integers(0, 10, panel.digits))
    if digits[0] == "0" and panel.decimals < panel.digits - 1:
        digits = str(rng.integers(1, 10)) + digits[1:]
    if not digits.strip("0"):
        return _reading(rng, panel)
    if panel.decimals:
        digits = digits[: -panel.decimals] + "." + digits[-panel.decimals :]
    return "-" + digits if panel.minus else digits


def _meters(rng: np.random.Generator, split: Split) -> tuple[Meter, ...]:
    plan = _one if rng.integers(2) else _two
    panels = drawn(
        split, "layout/meters", lambda: plan(rng), lambda row: layout_key(*(panel.box for panel in row))
    )
    looks = drawn_looks(rng, split, "meter looks", tuple(LIT), NAMES, len(panels))
    names = rng.permutation(len(QUANTITIES))
    meters: list[Meter] = []
    for index, (panel, side) in enumerate(zip(panels, _sides(panels), strict=True)):
        lit, frame = looks[index]
        reading = drawn(split, NUMBER, partial(_reading, rng, panel), number_key)
        meters.append(Meter(panel, side, QUANTITIES[names[index]], reading, lit, frame))
    if len(meters) == 2 and float(meters[0].reading) == float(meters[1].reading):
        return _meters(rng, split)
    return tuple(meters)


def _segment(letter: str, left: float, top: float, wide: float, tall: float) -> list[tuple[float, float]]:
    """The six corners of a segment of the digit whose top left corner is given."""
    half = max(1.5, SLIM * tall / 2)
    x0, x1 = left + half, left + wide - half
    y0, y1, y2 = top + half, top + tall / 2, top + tall - half
    ends = {
        "a": (x0, y0, x1, y0),
        "b": (x1, y0, x1, y1),
        "c": (x1, y1, x1, y2),
        "d": (x0, y2, x1, y2),
        "e": (x0, y1, x0, y2),
        "f": (x0, y0, x0, y1),
        "g": (x0, y1, x1, y1),
    }
    ax, ay, bx, by = ends[letter]
    if ay == by:
        ax, bx, h = ax + 1, bx - 1, half
        return [(ax, ay), (ax + h, ay - h), (bx - h, ay - h), (bx, ay), (bx - h, ay + h), (ax + h, ay + h)]
    ay, by, h = ay + 1, by - 1, half
    return [(ax, ay), (ax + h, ay + h), (ax + h, by - h), (ax, by), (ax - h, by - h), (ax - h, ay + h)]


def _draw_digit(canvas: Canvas, glyph: str, panel: Panel, centre: float, inks: tuple[Rgb, Rgb]) -> None:
    """Unlit segments first, in the second ink: real displays show them faintly."""
    wide, tall = WIDE * panel.pitch, panel.tall
    left, top = centre - wide / 2, panel.digits_middle - tall / 2
    for letter in "abcdefg":
        if letter not in SEGMENTS[glyph]:
            canvas.draw.polygon(_segment(letter, left, top, wide, tall), fill=inks[1])
    for letter in SEGMENTS[glyph]:
        canvas.draw.polygon(_segment(letter, left, top, wide, tall), fill=inks[0])
    half = 4 if glyph == "-" else tall / 2
    canvas.mark(glyph, (left, panel.digits_middle - half, left + wide, panel.digits_middle + half))


def _draw_reading(canvas: Canvas, meter: Meter, glass: Rgb) -> None:
    panel, lit = meter.panel, LIT[meter.lit]
    shine = 0.1 if canvas.rng.integers(2) else 0.0
    ghost = tuple(round(dark + shine * (light - dark)) for dark, light in zip(glass, lit, strict=True))
    centre = panel.digits_left + panel.pitch / 2
    for glyph in meter.reading:
        if glyph == ".":
            half = 0.07 * panel.tall
            x, y = centre - panel.pitch + POINT[panel.pitch], panel.digits_middle + panel.tall / 2 - half
            dot = (x - half, y - half, x + half, y + half)
            canvas.draw.rectangle(dot, fill=lit)
            canvas.mark(glyph, dot)
        else:
            _draw_digit(canvas, glyph, panel, centre, (lit, (ghost[0], ghost[1], ghost[2])))
            centre += panel.pitch


def _draw_meter(canvas: Canvas, meter: Meter) -> list[Box]:
    """The boxes of its digits."""
    panel = meter.panel
    canvas.text(panel.left, panel.middle, meter.name, SMALL_SIZE, SMALL_PITCH, INK)
    glass = LCD if meter.lit == "black" else GLASS
    left, _, right, bottom = panel.box
    canvas.draw.rectangle((left, panel.frame_top, right, bottom), fill=COLOURS[meter.frame])
    inner = (left + FRAME, panel.frame_top + FRAME, right - FRAME, bottom - FRAME)
    canvas.draw.rectangle(inner, fill=glass, outline=(150, 150, 150))
    before = len(canvas.marks)
    _draw_reading(canvas, meter, glass)
    return [mark.box for mark in canvas.marks[before:] if mark.label.isdecimal()]


def _meter_questions(rng: np.random.Generator, meter: Meter, digits: Sequence[Box]) -> list[Question]:
    """About one meter: called by its name or its side when there are two."""
    if meter.side:
        by_name = f"the {meter.name} meter"
        the = by_name if rng.integers(2) else f"the {meter.side} meter"
        chinese = None
        name_texts = [f"what is the name of the {meter.side} meter?"]
    else:
        the = by_name = "the meter"
        chinese = ("电表显示多少？", meter.reading)
        name_texts = ["what is the name of the meter?", "what name is on the meter?"]
    first, last = (digits[0],), (digits[-1],)
    return [
        asked(rng, "meter", meter.reading, f"what does {by_name} show?", f"read {by_name}.", chinese=chinese),
        asked(rng, "meter", meter.name, *name_texts),
        asked(rng, "meter", meter.lit, f"what colour are the digits of {the}?", about=first),
        asked(rng, "meter", meter.frame, f"what colour is the frame of {the}?"),
        asked(rng, "meter", str(meter.panel.digits), f"how many digits does {the} show?"),
        asked(rng, "meter", meter.reading.strip("-")[0], f"what is the first digit of {the}?", about=first),
        asked(rng, "meter", meter.reading[-1], f"what is the last digit of {the}?", about=last),
    ]


def _questions(
    rng: np.random.Generator, meters: tuple[Meter, ...], digits: Sequence[Sequence[Box]]
) -> list[Question]:
    count = str(len(meters))
    texts = ("how many meters are there?", "how many meters do you see?")
    questions = [asked(rng, "meter", count, *texts, chinese=("有几个电表？", count))]
    for meter, each in zip(meters, digits, strict=True):
        questions += _meter_questions(rng, meter, each)
    if len(meters) == 2:
        more, less = sorted(meters, key=lambda meter: -float(meter.reading))
        named = "what is the name of the meter that shows"
        questions.append(asked(rng, "meter", more.name, f"{named} more?"))
        questions.append(asked(rng, "meter", less.name, f"{named} less?"))
        one, other = meters
        text = f"does the {one.side} meter show more than the {other.side} meter?"
        questions.append(asked(rng, "meter", "yes" if more is one else "no", text))
    else:
        (only,) = meters
        colour = (only.lit, "what colour are the digits?")
        chinese, about = ("数字是什么颜色？", CHINESE[only.lit]), (digits[0][0],)
        questions[3] = asked(rng, "meter", *colour, chinese=chinese, about=about)
    return questions


def _described(meter: Meter) -> str:
    """What is seen of a meter from afar."""
    return f"{meter.lit} digits {meter.reading} in a {meter.frame} frame"


def meters_scene(rng: np.random.Generator, split: Split) -> Scene:
    """One meter as often as two; readings, places and colours are the split's own
    (colours as `drawn_looks` says)."""
    meters = _meters(rng, split)
    canvas = Canvas(rng, PAPERS[int(rng.integers(len(PAPERS)))])
    digits = [_draw_meter(canvas, meter) for meter in meters]
    words = " ".join(f"{m.side} meter {m.name} {_described(m)}".strip() for m in meters)
    return Scene(
        picture=canvas.finished(),
        caption=f"{len(meters)} meter{'s' * (len(meters) > 1)} with " + " and ".join(map(_described, meters)),
        words=words,
        marks=tuple(canvas.marks),
        questions=tuple(_questions(rng, meters, digits)),
    )
