"""Pages to be read aloud, print or shapes: what a model learns to see with before it is asked about scenes."""

from __future__ import annotations

import numpy as np

from demo.data.pages import page_scene
from demo.data.scene import Scene
from demo.data.shape_pages import shape_page
from demo.data.split import Split

PRINT = 0.6  # share of the pages


def lesson_scene(rng: np.random.Generator, split: Split) -> Scene:
    return page_scene(rng, split) if rng.random() < PRINT else shape_page(rng, split)
