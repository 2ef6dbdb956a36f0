"""Analogue clocks: one or two, at times five minutes apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from demo.data.canvas import PAPERS, Canvas, Rgb
from demo.data.charts import COLOURS, NAMES, asked, drawn_looks
from demo.data.gauges import FACES, INK, Dial, dials, dials_key, draw_face, draw_number, mark_point, points_of
from demo.data.scene import Box, Mark, Question, Scene
from demo.data.split import Split, drawn

HANDS = ("red", "green", "blue", "purple", "black")
HOUR_REACH, MINUTE_REACH = 0.5, 0.86  # of the face's radius


@dataclass(frozen=True)
class Clock:
    """What a dial shows; `numbered` faces carry 12, 3, 6 and 9, all have ticks."""

    dial: Dial
    hour: int
    minute: int
    numbered: bool
    frame: str
    hands: str

    @property
    def time(self) -> str:
        return time_text((self.hour, self.minute))


def time_text(time: tuple[int, int]) -> str:
    """Hour and minute as they are answered, "7:05"."""
    return f"{time[0]}:{time[1]:02d}"


def _clocks(rng: np.random.Generator, split: Split) -> tuple[Clock, ...]:
    count = int(rng.integers(1, 3))
    row = drawn(split, "layout/clocks", lambda: dials(rng, count, 36), dials_key)
    looks = drawn_looks(rng, split, "clocks", HANDS, NAMES, count)
    clocks: list[Clock] = []
    for dial, (hands, frame) in zip(row, looks, strict=True):
        hour, minute = drawn(
            split, "time", lambda: (int(rng.integers(1, 13)), 5 * int(rng.integers(12))), time_text
        )
        clocks.append(Clock(dial, hour, minute, bool(rng.integers(2)), frame, hands))
    return tuple(clocks)


def _draw_clock(canvas: Canvas, clock: Clock, face: Rgb) -> None:
    dial = clock.dial
    draw_face(canvas, dial, clock.frame, face)
    inner = dial.radius - dial.frame - 1
    for hour in range(1, 13):
        quarter = hour % 3 == 0
        long = 0.14 if quarter else 0.08
        ends = (*dial.at(30 * hour, inner), *dial.at(30 * hour, inner * (1 - long)))
        canvas.draw.line(ends, fill=INK, width=2 if quarter or dial.radius > 60 else 1)
        if quarter and clock.numbered:
            size = 10 if dial.radius < 50 else 14
            draw_number(canvas, dial, 30 * hour, 0.84 * inner - 0.55 * size, hour, size)
    _draw_hands(canvas, clock, inner)


def _draw_hands(canvas: Canvas, clock: Clock, inner: float) -> None:
    dial, ink = clock.dial, COLOURS[clock.hands]
    hour_degrees = 30 * (clock.hour % 12) + clock.minute / 2
    hands = (
        ("hour tip", hour_degrees, HOUR_REACH, 22, 2.2),
        ("minute tip", 6.0 * clock.minute, MINUTE_REACH, 45, 1.2),
    )
    for label, degrees, reach, slim, least in hands:
        tip, half = dial.at(degrees, reach * inner), max(least, dial.radius / slim)
        end = Dial(*tip, 0, "")
        base = (dial.at(degrees - 90, half), dial.at(degrees + 90, half))
        canvas.draw.polygon((*base, end.at(degrees + 90, half / 2), end.at(degrees - 90, half / 2)), fill=ink)
        mark_point(canvas, label, tip)
    hub = max(2.0, dial.radius / 20)
    canvas.draw.ellipse((dial.x - hub, dial.y - hub, dial.x + hub, dial.y + hub), fill=ink)
    mark_point(canvas, "dial centre", (dial.x, dial.y))


def _clock_questions(rng: np.random.Generator, clock: Clock, hands: tuple[Box, Box, Box]) -> list[Question]:
    """`hands`: the tips of both, the shorter one's first, and what they turn around."""
    hour, minute, hub = hands
    the = f"the {clock.dial.side} clock" if clock.dial.side else "the clock"
    time_texts = [f"what time does {the} show?", f"what time is on {the}?"]
    if not clock.dial.side:
        time_texts.append("what time is it?")
    chinese = None if clock.dial.side else ("现在几点？", clock.time)
    near = str(clock.minute // 5 or 12)
    return [
        asked(rng, "clock", clock.time, *time_texts, chinese=chinese, about=hands),
        asked(rng, "clock", str(clock.hour), f"what is the hour on {the}?", about=hands),
        asked(
            rng,
            "clock",
            str(clock.minute),
            f"how many minutes past the hour is {the}?",
            about=(minute, hub),
        ),
        asked(
            rng,
            "clock",
            near,
            f"which number does the long hand of {the} point at?",
            about=(minute, hub),
        ),
        asked(rng, "clock", clock.frame, f"what colour is the frame of {the}?"),
        asked(rng, "clock", clock.hands, f"what colour are the hands of {the}?", about=(minute, hour)),
        asked(rng, "clock", "yes" if clock.numbered else "no", f"are there numbers on {the}?"),
    ]


def _questions(rng: np.random.Generator, clocks: tuple[Clock, ...], marks: Sequence[Mark]) -> list[Question]:
    points = (points_of(marks, label) for label in ("hour tip", "minute tip", "dial centre"))
    texts = ("how many clocks are there?", "how many clocks do you see?")
    questions = [asked(rng, "clock", str(len(clocks)), *texts, chinese=("有几个钟？", str(len(clocks))))]
    for clock, hands in zip(clocks, zip(*points, strict=True), strict=True):
        questions += _clock_questions(rng, clock, hands)
    return questions


def _described(clock: Clock) -> str:
    the = f"{clock.dial.side} clock at {clock.time}".strip()
    return f"{the} with {clock.frame} frame and {clock.hands} hands"


def clocks_scene(rng: np.random.Generator, split: Split) -> Scene:
    """One clock as often as two; the hour hand lies between the hours as the minutes say."""
    clocks = _clocks(rng, split)
    canvas = Canvas(rng, PAPERS[int(rng.integers(len(PAPERS)))])
    face = FACES[int(rng.integers(len(FACES)))]
    for clock in clocks:
        _draw_clock(canvas, clock, face)
    described = [_described(clock) for clock in clocks]
    numbers = ["numbers" if clock.numbered else "no numbers" for clock in clocks]
    return Scene(
        picture=canvas.finished(),
        caption=", ".join(described),
        words=" ".join(f"{one} and {other}" for one, other in zip(described, numbers, strict=True)),
        marks=tuple(canvas.marks),
        questions=tuple(_questions(rng, clocks, canvas.marks)),
    )
