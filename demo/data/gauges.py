"""Round gauges: a needle over a scale with a red zone somewhere on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import cos, hypot, radians, sin

import numpy as np

from demo.data.canvas import PAPERS, RASTER, Canvas, Rgb
from demo.data.charts import COLOURS, NAMES, asked, drawn_looks, layout_key
from demo.data.scene import CANVAS, Box, Mark, Question, Scene
from demo.data.split import Split, drawn

FACES: tuple[Rgb, ...] = ((255, 255, 255), (250, 244, 224), (226, 236, 246))
NEEDLES = ("green", "blue", "orange", "purple", "black")  # not red as the zone, nor pale
INK: Rgb = (24, 24, 24)
EDGE = 2  # pixels left free at the border and between dials
LARGEST, LARGEST_OF_TWO = 88, 51  # pixels, of a dial's radius
STEPS, STEP = 20, 5  # needle positions after zero, and what one of them is worth of 100
START_DEGREES, SWEEP_DEGREES = -135.0, 270.0  # clockwise from the top
NUMBER_PITCH = 0.62  # of the font size
POINT = 3  # pixels, half of a point's box


@dataclass(frozen=True)
class Dial:
    """A round face; `side` is empty when it is the only one."""

    x: float
    y: float
    radius: float
    side: str

    @property
    def frame(self) -> float:
        """The thickness of the coloured ring."""
        return max(3.0, self.radius / 12)

    @property
    def box(self) -> Box:
        return (self.x - self.radius, self.y - self.radius, self.x + self.radius, self.y + self.radius)

    def at(self, degrees: float, distance: float) -> tuple[float, float]:
        """The point at an angle, clockwise from the top."""
        angle = radians(degrees)
        return (self.x + distance * sin(angle), self.y - distance * cos(angle))


@dataclass(frozen=True)
class Gauge:
    """What a dial shows: the needle's step, the steps its red zone spans, and the scale's end, 10 or 100."""

    dial: Dial
    step: int
    zone: tuple[float, float]
    end: int
    frame: str
    needle: str

    @property
    def reading(self) -> str:
        return str(self.step * STEP * self.end // 100)

    @property
    def in_zone(self) -> bool:
        return self.zone[0] < self.step < self.zone[1]


def dials(rng: np.random.Generator, count: int, smallest: int) -> tuple[Dial, ...]:
    """One dial of any size, or two, side by side or one above the other."""
    if count == 1:
        radius = int(rng.integers(smallest + 12, LARGEST + 1))
        x, y = (_somewhere(rng, radius) for _ in range(2))
        return (Dial(x, y, radius, ""),)
    pairs: list[tuple[int, int]] = []
    while not pairs:
        one, other = (int(radius) for radius in rng.integers(smallest, LARGEST_OF_TWO + 1, 2))
        across = [_somewhere(rng, radius) for radius in (one, other)]
        aside, apart = abs(across[0] - across[1]), one + other + EDGE
        pairs = [
            (a, b)
            for a in _middles(one)
            for b in _middles(other)
            if b - a > aside and hypot(b - a, aside) >= apart
        ]
    along = pairs[int(rng.integers(len(pairs)))]
    if rng.integers(2):
        return (Dial(along[0], across[0], one, "left"), Dial(along[1], across[1], other, "right"))
    return (Dial(across[0], along[0], one, "top"), Dial(across[1], along[1], other, "bottom"))


def _middles(radius: int) -> range:
    """Where a dial's centre can be: in the middle of a cell of the raster, its frame off the border."""
    first = -(-(EDGE + radius - RASTER // 2) // RASTER) * RASTER + RASTER // 2
    return range(first, CANVAS - EDGE - radius + 1, RASTER)


def _somewhere(rng: np.random.Generator, radius: int) -> int:
    middles = _middles(radius)
    return middles[int(rng.integers(len(middles)))]


def dials_key(row: tuple[Dial, ...]) -> str:
    """The coarse layout."""
    return layout_key(*(dial.box for dial in row))


def draw_face(canvas: Canvas, dial: Dial, frame: str, face: Rgb) -> None:
    """A coloured ring around a light face."""
    canvas.draw.ellipse(dial.box, fill=COLOURS[frame])
    inner = dial.radius - dial.frame
    canvas.draw.ellipse((dial.x - inner, dial.y - inner, dial.x + inner, dial.y + inner), fill=face)


def draw_number(canvas: Canvas, dial: Dial, degrees: float, distance: float, number: int, size: int) -> None:
    """A number of the scale, centred on its place."""
    x, y = dial.at(degrees, distance)
    text, pitch = str(number), NUMBER_PITCH * size
    canvas.text(x - len(text) * pitch / 2, y, text, size, pitch, INK, is_free=True)


def mark_point(canvas: Canvas, label: str, point: tuple[float, float]) -> None:
    """A point's mark is a small box around it."""
    x, y = point
    canvas.mark(label, (x - POINT, y - POINT, x + POINT, y + POINT))


def points_of(marks: Sequence[Mark], label: str) -> list[Box]:
    """Of all dials, the first one's first."""
    return [mark.box for mark in marks if mark.label == label]


def _step_and_zone(rng: np.random.Generator, end: int) -> tuple[int, tuple[float, float]]:
    """Draws both answers first: in the zone or not, above the middle or not. Zone ends lie between steps."""
    inside, above = bool(rng.integers(2)), bool(rng.integers(2))
    coarse = 2 if end == 10 else 1  # a scale to 10 shows whole numbers only
    half = STEPS // 2
    step = coarse * int(
        rng.integers(half // coarse + 1, STEPS // coarse + 1)
        if above
        else rng.integers(0, half // coarse + 1)
    )
    while True:
        width = int(rng.integers(4, 8))
        start = int(rng.integers(0, STEPS - width + 2)) - 0.5
        apart = 0 if inside else 1  # a needle just outside could be taken for one inside
        if (start - apart < step < start + width + apart) == inside:
            return step, (start, start + width)


def _gauges(rng: np.random.Generator, split: Split) -> tuple[Gauge, ...]:
    count = int(rng.integers(1, 3))
    row = drawn(split, "layout/gauges", lambda: dials(rng, count, 40), dials_key)
    end = 10 if rng.random() < 0.25 else 100
    looks = drawn_looks(rng, split, "gauges", NEEDLES, NAMES, count)
    gauges: list[Gauge] = []
    for dial, (needle, frame) in zip(row, looks, strict=True):
        # There are only 21 readings, so what a split owns is a reading with its red zone.
        step, zone = drawn(split, "gauge", lambda: _step_and_zone(rng, end), lambda pair: f"{end} {pair}")
        gauges.append(Gauge(dial, step, zone, end, frame, needle))
    if count == 2 and gauges[0].step == gauges[1].step:
        return _gauges(rng, split)
    return tuple(gauges)


def _angle(step: float) -> float:
    return START_DEGREES + SWEEP_DEGREES * step / STEPS


def _clear_of_ticks(dial: Dial, degrees: float, scale: float, number: int, size: int) -> float:
    """How far out a number stands: a tick that touched it would read as a minus."""
    wide, tall, angle = len(str(number)) * NUMBER_PITCH * size, 0.72 * size, radians(degrees)
    reach = (abs(sin(angle)) * wide + abs(cos(angle)) * tall) / 2
    return min(scale + 2.5 + reach, dial.radius - dial.frame + 1 - reach)


def _draw_gauge(canvas: Canvas, gauge: Gauge, face: Rgb) -> None:
    dial, size = gauge.dial, int(canvas.rng.integers(10, 13)) if gauge.dial.radius > 56 else 10
    draw_face(canvas, dial, gauge.frame, face)
    scale = dial.radius - dial.frame - 1.65 * size  # the radius where ticks begin
    start, stop = (_angle(min(STEPS, max(0.0, end))) - 90 for end in gauge.zone)
    ring = (dial.x - scale, dial.y - scale, dial.x + scale, dial.y + scale)
    canvas.draw.arc(ring, start, stop, fill=COLOURS["red"], width=max(4, round(dial.radius / 12)))
    every = 2 if dial.radius >= 66 else 4  # steps from number to number
    for step in range(STEPS + 1):
        numbered = step % every == 0
        ends = (*dial.at(_angle(step), scale), *dial.at(_angle(step), scale - (6 if numbered else 3)))
        canvas.draw.line(ends, fill=INK, width=2 if numbered and dial.radius >= 66 else 1)
        if numbered:
            number = step * STEP * gauge.end // 100
            distance = _clear_of_ticks(dial, _angle(step), scale, number, size)
            draw_number(canvas, dial, _angle(step), distance, number, size)
    _draw_needle(canvas, gauge, scale - 3)


def _draw_needle(canvas: Canvas, gauge: Gauge, length: float) -> None:
    dial, angle = gauge.dial, _angle(gauge.step)
    tip, half = dial.at(angle, length), max(2.0, dial.radius / 24)
    corners = [tip, dial.at(angle + 90, half), dial.at(angle + 180, 0.18 * length), dial.at(angle - 90, half)]
    canvas.draw.polygon(corners, fill=COLOURS[gauge.needle])
    hub = half + 1.5
    canvas.draw.ellipse((dial.x - hub, dial.y - hub, dial.x + hub, dial.y + hub), fill=COLOURS[gauge.needle])
    mark_point(canvas, "dial centre", (dial.x, dial.y))
    mark_point(canvas, "needle tip", tip)


def _gauge_questions(rng: np.random.Generator, gauge: Gauge, ends: tuple[Box, Box]) -> list[Question]:
    """`ends` of the needle: where it points, and where it is held."""
    the = f"the {gauge.dial.side} gauge" if gauge.dial.side else "the gauge"
    middle = gauge.end // 2
    above = "yes" if int(gauge.reading) > middle else "no"
    zone_texts = (f"is the needle of {the} in the red zone?", f"is {the} in the red zone?")
    return [
        asked(rng, "gauge", gauge.reading, f"what does {the} show?", f"read {the}.", about=ends),
        asked(rng, "gauge", "yes" if gauge.in_zone else "no", *zone_texts, about=ends),
        asked(rng, "gauge", above, f"does {the} show more than {middle}?", about=ends),
        asked(rng, "gauge", gauge.frame, f"what colour is the frame of {the}?"),
        asked(rng, "gauge", gauge.needle, f"what colour is the needle of {the}?", about=ends),
    ]


def _questions(rng: np.random.Generator, gauges: tuple[Gauge, ...], marks: Sequence[Mark]) -> list[Question]:
    tips, hubs = (points_of(marks, label) for label in ("needle tip", "dial centre"))
    texts = ("how many gauges are there?", "how many gauges do you see?")
    questions = [asked(rng, "gauge", str(len(gauges)), *texts)]
    for gauge, tip, hub in zip(gauges, tips, hubs, strict=True):
        questions += _gauge_questions(rng, gauge, (tip, hub))
    if len(gauges) == 1:
        questions.append(asked(rng, "gauge", str(gauges[0].end), "what is the largest number on the gauge?"))
    else:
        more, less = sorted(gauges, key=lambda gauge: -gauge.step)
        questions.append(asked(rng, "gauge", more.dial.side, "which gauge shows more?", about=tuple(tips)))
        questions.append(asked(rng, "gauge", less.dial.side, "which gauge shows less?", about=tuple(tips)))
    return questions


def _described(gauge: Gauge) -> str:
    the = f"{gauge.dial.side} gauge at {gauge.reading}".strip()
    return f"{the} with {gauge.frame} frame and {gauge.needle} needle"


def _in_words(gauge: Gauge) -> str:
    zone = "in the red zone" if gauge.in_zone else "not in the red zone"
    return f"{_described(gauge)} to {gauge.end} {zone}"


def gauges_scene(rng: np.random.Generator, split: Split) -> Scene:
    """One gauge as often as two; the needle always points at a whole step of the scale."""
    gauges = _gauges(rng, split)
    canvas = Canvas(rng, PAPERS[int(rng.integers(len(PAPERS)))])
    face = FACES[int(rng.integers(len(FACES)))]
    for gauge in gauges:
        _draw_gauge(canvas, gauge, face)
    return Scene(
        picture=canvas.finished(),
        caption=", ".join(map(_described, gauges)),
        words=" ".join(map(_in_words, gauges)),
        marks=tuple(canvas.marks),
        questions=tuple(_questions(rng, gauges, canvas.marks)),
    )
