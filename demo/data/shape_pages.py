"""Pages full of shapes in rows: where every shape teaches, pages teach faster than scenes with a few."""

from __future__ import annotations

import numpy as np

from demo.data.canvas import Canvas
from demo.data.placing import layout_key
from demo.data.scene import CANVAS, Question, Scene, box_text
from demo.data.shape import KINDS, LARGEST, MOST, SMALLEST, Shape
from demo.data.shapes import draw_shape, palette_of
from demo.data.split import Split, split_of

NAME, LOCATE = "what shapes are there?", "what shapes are there, and where exactly?"
FEWEST_ROWS, MOST_ROWS = 2, 5
EMPTY = 0.35  # share of the places
GAP = 3  # pixels between places
DRIFT = 3  # pixels that a shape may lie higher or lower than its row


def shape_page(
    rng: np.random.Generator, split: Split, most_rows: int = MOST_ROWS, is_located: bool = False
) -> Scene:
    """Shapes row by row, some places left empty; the answer names them as one reads, from the top left, each with its
    box where they are to be located."""
    paper, palette = palette_of(rng, split)
    canvas = Canvas(rng, paper)
    rows = int(rng.integers(FEWEST_ROWS, most_rows + 1))
    place, kinds, names = CANVAS // rows, list(KINDS), list[str]()
    taken = rng.random((rows, rows)) >= EMPTY
    taken[int(rng.integers(rows)), int(rng.integers(rows))] = True
    for row, column in np.argwhere(taken).tolist():
        colour, kind = palette[int(rng.integers(len(palette)))], kinds[int(rng.integers(len(kinds)))]
        side = int(rng.integers(SMALLEST, min(LARGEST, place - 2 * GAP) + 1))
        free = place - GAP - side
        left = column * place + GAP + int(rng.integers(max(1, free)))
        middle = free / 2 + float(rng.uniform(-DRIFT, DRIFT))
        top = row * place + GAP + round(min(max(0.0, middle), free))
        box = (left, top, left + side, top + side)
        draw_shape(canvas, Shape(kind, colour, box))
        names.append(f"{colour} {kind} {box_text(box)}" if is_located else f"{colour} {kind}")
    if split == "train" and len(names) <= MOST and not is_training_layout(canvas):
        return shape_page(rng, split, most_rows, is_located)
    read = ", ".join(names)
    question = Question("dialogue", LOCATE if is_located else NAME, read)
    return Scene(canvas.finished(), "rows of shapes", read, tuple(canvas.marks), (question,))


def is_training_layout(canvas: Canvas) -> bool:
    """A page of few shapes could lie as a scene of another set does."""
    key = layout_key([mark.box for mark in canvas.marks])
    return split_of("layout/shapes", key) == "train"
