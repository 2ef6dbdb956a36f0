"""Pages to be read aloud, print or shapes: what a model learns to see with before it is asked about scenes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from demo.data.codes import codes_scene
from demo.data.pages import page_scene
from demo.data.scene import Scene
from demo.data.shape_pages import MOST_ROWS, shape_page
from demo.data.shapes import counted_scene, shapes_scene
from demo.data.split import Split

LOCATED_ROWS = 3  # a box is a long answer


@dataclass(frozen=True)
class Lessons:
    """Shares of lessons: print to be read, drills about a few shapes, shapes to be located, shapes to be counted, signs to be told
    apart; the rest are shapes to be named. How many of the pictures in which shapes are counted have some without a name for their
    colour, and how many of the drills. And how many rows of shapes there are at most."""

    print_share: float = 0.6
    drill_share: float = 0.0
    located_share: float = 0.0
    counted_share: float = 0.0
    signs_share: float = 0.0
    nameless_share: float = 0.0
    nameless_drills: float = 0.0
    most_rows: int = MOST_ROWS


USUAL = Lessons()


def lesson_scene(rng: np.random.Generator, split: Split, lessons: Lessons = USUAL) -> Scene:
    kind = rng.random()
    if kind < lessons.print_share:
        return page_scene(rng, split)
    kind -= lessons.print_share
    if kind < lessons.drill_share:
        return shapes_scene(rng, split, is_drill=True, nameless=lessons.nameless_drills)
    kind -= lessons.drill_share
    if kind < lessons.located_share:
        return shape_page(rng, split, LOCATED_ROWS, is_located=True)
    kind -= lessons.located_share
    if kind < lessons.counted_share:
        return counted_scene(rng, split, lessons.nameless_share)
    kind -= lessons.counted_share
    if kind < lessons.signs_share:
        return codes_scene(rng, split, is_drill=True)
    return shape_page(rng, split, lessons.most_rows)
