"""Seven-segment displays: one or two meters with a small printed name each."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from demo.data.canvas import PAPERS, Canvas, Rgb
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
EDGE, FRAME, PADDING, NAME_ROW = 3, 5, 6, 19  # pixels
PITCH, WIDE, SLIM = 0.78, 0.5, 0.13  # of a digit's height: from digit to digit, its width, its strokes
SHORTEST, TALLEST = 24, 56  # pixels, of the digits
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
    """A display before it shows anything: `box` holds the frame with the name above it."""

    box: Box
    tall: int
    digits: int
    decimals: int
    minus: bool


@dataclass(frozen=True)
class Meter:
    """What a panel shows; `side` is empty when it is the only one."""

    panel: Panel
    side: str
    name: str
    reading: str
    lit: str
    frame: str


def _cells_panel(rng: np.random.Generator, tallest: int, small: bool = False) -> Panel:
    """Size and format of one display, its corner at 0, 0; two small ones fit side by side."""
    digits, minus = int(rng.integers(3, 7)), bool(rng.random() < 0.2)
    if small:
        digits, minus, tallest = 3, False, 27
    decimals = int(rng.integers(1, digits)) if rng.random() < 0.5 else 0
    border = 2 * (FRAME + PADDING)
    widest = int((CANVAS - 2 * EDGE - border) / (PITCH * (digits + minus)))
    tall = int(rng.integers(SHORTEST, min(tallest, widest) + 1))
    wide = max(border + PITCH * tall * (digits + minus), 64.0)
    return Panel((0, 0, wide, NAME_ROW + border + tall), tall, digits, decimals, minus)


def _moved(panel: Panel, left: float, top: float) -> Panel:
    box = (left, top, left + panel.box[2], top + panel.box[3])
    return Panel(box, panel.tall, panel.digits, panel.decimals, panel.minus)


def _one(rng: np.random.Generator) -> tuple[Panel, ...]:
    panel = _cells_panel(rng, TALLEST)
    room_x, room_y = CANVAS - 2 * EDGE - panel.box[2], CANVAS - 2 * EDGE - panel.box[3]
    return (_moved(panel, EDGE + int(rng.uniform(0, room_x)), EDGE + int(rng.uniform(0, room_y))),)


def _two(rng: np.random.Generator) -> tuple[Panel, ...]:
    """Side by side where that fits, else one above the other."""
    small = bool(rng.random() < 0.3)
    first, second = _cells_panel(rng, 50, small), _cells_panel(rng, 50, small)
    axis = 0 if first.box[2] + second.box[2] + 3 * EDGE < CANVAS else 1
    room = CANVAS - 3 * EDGE - first.box[2 + axis] - second.box[2 + axis]
    before, between = sorted(int(cut) for cut in rng.uniform(0, room, 2))
    starts = (EDGE + before, 2 * EDGE + between + first.box[2 + axis])
    moved = []
    for panel, start in zip((first, second), starts, strict=True):
        across = EDGE + int(rng.uniform(0, CANVAS - 2 * EDGE - panel.box[3 - axis]))
        moved.append(_moved(panel, start, across) if axis == 0 else _moved(panel, across, start))
    return tuple(moved)


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


def _segment(letter: str, left: float, top: float, tall: float) -> list[tuple[float, float]]:
    """The six corners of a segment of the digit whose top left corner is given."""
    wide, half = WIDE * tall, max(1.5, SLIM * tall / 2)
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


def _draw_digit(
    canvas: Canvas, glyph: str, left: float, top: float, tall: float, inks: tuple[Rgb, Rgb]
) -> None:
    """Unlit segments first, in the second ink: real displays show them faintly."""
    for letter in "abcdefg":
        if letter not in SEGMENTS[glyph]:
            canvas.draw.polygon(_segment(letter, left, top, tall), fill=inks[1])
    for letter in SEGMENTS[glyph]:
        canvas.draw.polygon(_segment(letter, left, top, tall), fill=inks[0])
    wide = WIDE * tall
    if glyph == "-":
        canvas.mark(glyph, (left, top + tall / 2 - 4, left + wide, top + tall / 2 + 4))
    else:
        canvas.mark(glyph, (left, top, left + wide, top + tall))


def _draw_reading(canvas: Canvas, meter: Meter, left: float, top: float, glass: Rgb) -> None:
    tall, lit = meter.panel.tall, LIT[meter.lit]
    shine = 0.1 if canvas.rng.integers(2) else 0.0
    ghost = tuple(round(dark + shine * (light - dark)) for dark, light in zip(glass, lit, strict=True))
    cell = left + (PITCH - WIDE) / 2 * tall
    for glyph in meter.reading:
        if glyph == ".":
            half, x, y = max(1.5, 0.07 * tall), cell - (PITCH - WIDE) / 2 * tall, top + 0.93 * tall
            dot = (x - half, y - half, x + half, y + half)
            canvas.draw.rectangle(dot, fill=lit)
            canvas.mark(glyph, dot)
        else:
            _draw_digit(canvas, glyph, cell, top, tall, (lit, (ghost[0], ghost[1], ghost[2])))
            cell += PITCH * tall


def _draw_meter(canvas: Canvas, meter: Meter) -> None:
    left, top, right, bottom = meter.panel.box
    size = int(canvas.rng.integers(12, 17))
    canvas.text(left + 2, top + NAME_ROW / 2 - 1, meter.name, size, 12, INK)
    top += NAME_ROW
    glass = LCD if meter.lit == "black" else GLASS
    canvas.draw.rectangle((left, top, right, bottom), fill=COLOURS[meter.frame])
    inner = (left + FRAME, top + FRAME, right - FRAME, bottom - FRAME)
    canvas.draw.rectangle(inner, fill=glass, outline=(150, 150, 150))
    cells = meter.panel.digits + meter.panel.minus
    room = inner[2] - inner[0] - PITCH * meter.panel.tall * cells
    _draw_reading(canvas, meter, inner[0] + room / 2, top + FRAME + PADDING, glass)


def _meter_questions(rng: np.random.Generator, meter: Meter) -> list[Question]:
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
    return [
        asked(rng, "meter", meter.reading, f"what does {by_name} show?", f"read {by_name}.", chinese=chinese),
        asked(rng, "meter", meter.name, *name_texts),
        asked(rng, "meter", meter.lit, f"what colour are the digits of {the}?"),
        asked(rng, "meter", meter.frame, f"what colour is the frame of {the}?"),
        asked(rng, "meter", str(meter.panel.digits), f"how many digits does {the} show?"),
        asked(rng, "meter", meter.reading.strip("-")[0], f"what is the first digit of {the}?"),
        asked(rng, "meter", meter.reading[-1], f"what is the last digit of {the}?"),
    ]


def _questions(rng: np.random.Generator, meters: tuple[Meter, ...]) -> list[Question]:
    count = str(len(meters))
    texts = ("how many meters are there?", "how many meters do you see?")
    questions = [asked(rng, "meter", count, *texts, chinese=("有几个电表？", count))]
    for meter in meters:
        questions += _meter_questions(rng, meter)
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
        questions[3] = asked(rng, "meter", *colour, chinese=("数字是什么颜色？", CHINESE[only.lit]))
    return questions


def _described(meter: Meter) -> str:
    """What is seen of a meter from afar."""
    return f"{meter.lit} digits {meter.reading} in a {meter.frame} frame"


def meters_scene(rng: np.random.Generator, split: Split) -> Scene:
    """One meter as often as two; readings, places and colours are the split's own
    (colours as `drawn_looks` says)."""
    meters = _meters(rng, split)
    canvas = Canvas(rng, PAPERS[int(rng.integers(len(PAPERS)))])
    for meter in meters:
        _draw_meter(canvas, meter)
    words = " ".join(f"{m.side} meter {m.name} {_described(m)}".strip() for m in meters)
    return Scene(
        picture=canvas.finished(),
        caption=f"{len(meters)} meter{'s' * (len(meters) > 1)} with " + " and ".join(map(_described, meters)),
        words=words,
        marks=tuple(canvas.marks),
        questions=tuple(_questions(rng, meters)),
    )
