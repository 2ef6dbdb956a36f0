"""Pages to be read aloud, print or shapes: what a model learns to see with before it is asked about scenes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from demo.data.pages import page_scene
from demo.data.scene import Scene
from demo.data.shape_pages import MOST_ROWS, shape_page
from demo.data.split import Split


@dataclass(frozen=True)
class Lessons:
    """The share of print among the pages, and how many rows of shapes the others have at most."""

    print_share: float = 0.6
    most_rows: int = MOST_ROWS


USUAL = Lessons()


def lesson_scene(rng: np.random.Generator, split: Split, lessons: Lessons = USUAL) -> Scene:
    is_print = rng.random() < lessons.print_share
    return page_scene(rng, split) if is_print else shape_page(rng, split, lessons.most_rows)
