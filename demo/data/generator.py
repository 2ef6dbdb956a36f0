"""Every kind of scene by its name, and the one scene that belongs to a number."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from demo.data.charts import charts_scene
from demo.data.clocks import clocks_scene
from demo.data.codes import codes_scene
from demo.data.dialogue import dialogue_scene
from demo.data.gauges import gauges_scene
from demo.data.meters import meters_scene
from demo.data.price_tags import price_tags_scene
from demo.data.receipts import receipts_scene
from demo.data.scene import Scene
from demo.data.shapes import shapes_scene
from demo.data.split import Split, rng_from_name
from demo.data.tables import tables_scene

Maker = Callable[[np.random.Generator, Split], Scene]
MAKERS: Mapping[str, Maker] = {
    "shapes": shapes_scene,
    "codes": codes_scene,
    "receipts": receipts_scene,
    "price_tags": price_tags_scene,
    "meters": meters_scene,
    "gauges": gauges_scene,
    "clocks": clocks_scene,
    "charts": charts_scene,
    "tables": tables_scene,
    "dialogue": dialogue_scene,
}
SHADED = "shaded_shapes"  # for training only: nobody is asked about them in the end
SHADED_SHARE = 0.6
PICTURED = tuple(name for name in MAKERS if name != "dialogue")


def scene_of(seed: int, split: Split, index: int, makers: Sequence[str] | None = None) -> Scene:
    """Makers take turns; the same numbers give the same scene on every machine."""
    names = tuple(MAKERS) if makers is None else tuple(makers)
    name = names[index % len(names)]
    rng = rng_from_name(seed, split, name, index)
    return shapes_scene(rng, split, nameless=SHADED_SHARE) if name == SHADED else MAKERS[name](rng, split)
