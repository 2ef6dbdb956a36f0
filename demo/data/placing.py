"""Room for things: boxes anywhere on the canvas that neither touch each other nor the border."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from demo.data.scene import CANVAS, Box

TRIES_PER_BOX = 24
CELL = 32  # pixels; two pictures with everything in the same cells have the same layout


def placed(
    rng: np.random.Generator, sizes: Sequence[tuple[int, int]], gap: int = 4, margin: int = 2
) -> tuple[Box, ...] | None:
    """One box for each (width, height), in the same order, on whole pixels; None when they found no room."""
    spots = rng.random((len(sizes), TRIES_PER_BOX, 2)).tolist()
    boxes: dict[int, tuple[int, int, int, int]] = {}
    # The largest choose first: the small ones fit in what is left.
    for index in sorted(range(len(sizes)), key=lambda index: -sizes[index][0] * sizes[index][1]):
        width, height = sizes[index]
        for right_share, down_share in spots[index]:
            left = margin + int(right_share * (CANVAS - 2 * margin - width + 1))
            top = margin + int(down_share * (CANVAS - 2 * margin - height + 1))
            box = (left, top, left + width, top + height)
            if all(apart(box, other, gap) for other in boxes.values()):
                boxes[index] = box
                break
        else:
            return None
    return tuple(boxes[index] for index in range(len(sizes)))


def apart(one: Box, other: Box, gap: float = 0) -> bool:
    """Whether at least `gap` pixels lie between the two, across or down."""
    across = one[0] - other[2] >= gap or other[0] - one[2] >= gap
    return across or one[1] - other[3] >= gap or other[1] - one[3] >= gap


def layout_key(boxes: Sequence[Box]) -> str:
    """Where things lie, coarsely: the same for pictures that differ by a few pixels or in what lies there."""
    cells = sorted(
        (round((box[0] + box[2]) / 2 / CELL), round((box[1] + box[3]) / 2 / CELL)) for box in boxes
    )
    return " ".join(f"{column},{row}" for column, row in cells)
