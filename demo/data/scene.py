"""A picture, what lies in it, and what may be asked about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from PIL import Image

CANVAS = 192  # pixels; every picture is square, the size of the demo model's high-resolution tower
Box = tuple[float, float, float, float]  # left, top, right, bottom in canvas pixels
Task = Literal[
    "colour",
    "shape",
    "count",
    "place",
    "size",
    "box",
    "code",
    "small_print",
    "receipt",
    "price_tag",
    "meter",
    "gauge",
    "clock",
    "chart",
    "table",
    "dialogue",
]
TASKS: tuple[Task, ...] = get_args(Task)


@dataclass(frozen=True)
class Mark:
    """One thing in the picture: a glyph ("K"), a coloured shape ("red circle"), a point ("needle tip")."""

    label: str
    box: Box


@dataclass(frozen=True)
class Question:
    """A box is asked for with the task "box" and answered as "[left,top,right,bottom]", each 0 to 999. `about` are the boxes, on the
    canvas, of what one has to look at for the answer: all the shapes that are counted, or up to three things side by side."""

    task: Task
    text: str
    answer: str
    about: tuple[Box, ...] = ()


@dataclass(frozen=True)
class Scene:
    """`caption` says what can be seen from afar; `words` says everything a question may ask, in text."""

    picture: Image.Image | None  # None in text-only dialogue
    caption: str
    words: str
    marks: tuple[Mark, ...]
    questions: tuple[Question, ...]

    def __post_init__(self) -> None:
        assert self.picture is None or self.picture.size == (CANVAS, CANVAS)
        assert self.questions, "a scene nobody can ask about"


def box_text(box: Box) -> str:
    """Canvas pixels to the answer's coordinates, three digits each."""
    return "[" + ",".join(f"{min(999, max(0, round(value / CANVAS * 1000))):03d}" for value in box) + "]"
