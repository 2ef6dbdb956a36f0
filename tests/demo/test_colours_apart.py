"""Training never shows two colours together that held-out pictures are asked about: seen in the pixels, whatever was meant."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from PIL import Image

from demo.data.canvas import INKS
from demo.data.codes import INK_NAMES, PANELS, codes_scene
from demo.data.generator import PICTURED, scene_of
from demo.data.practice import practice_page
from demo.data.shape import COLOURS, split_of_pair
from demo.data.shape_pages import shape_page
from demo.data.split import Split, rng_from_name

PICTURES = 60  # of each kind
NEAR, FEWEST = 24, 12  # of 255 a channel may be off; pixels of a colour that is there
PAINTS = [(name, rgb) for name, (rgb, _) in COLOURS.items()]
PAINTS += [(name, rgb) for name, (rgb, _) in PANELS.items()]
PAINTS += [(INK_NAMES[ink], ink) for ink in INKS]
# Paper is white and print is black in pictures of every set.
EVERYWHERE = {"black", "white"}


def colours_in(picture: Image.Image | None) -> set[str]:
    assert picture is not None
    pixels = np.asarray(picture, np.int64).reshape(-1, 3)
    found: dict[str, int] = {}
    for name, rgb in PAINTS:
        near = (np.abs(pixels - np.array(rgb)) <= NEAR).all(1).sum()
        found[name] = max(found.get(name, 0), int(near))
    return {name for name, count in found.items() if count >= FEWEST} - EVERYWHERE


def apart(colours: set[str]) -> list[tuple[str, str]]:
    """Pairs of the held-out set."""
    return [pair for pair in combinations(sorted(colours), 2) if split_of_pair(*pair) == "held-out"]


def seen_in(kind: str, split: Split) -> list[set[str]]:
    return [colours_in(scene_of(7, split, index, (kind,)).picture) for index in range(PICTURES)]


@pytest.mark.parametrize("kind", PICTURED)
def test_no_training_picture_shows_a_held_out_pair(kind: str) -> None:
    assert not [found for colours in seen_in(kind, "train") if (found := apart(colours))]


def test_no_drill_and_no_page_shows_one() -> None:
    drills = [codes_scene(rng_from_name(7, index), "train", True).picture for index in range(PICTURES)]
    practice = [practice_page(rng_from_name(7, index))[0] for index in range(PICTURES)]
    pages = [shape_page(rng_from_name(7, index), "train").picture for index in range(PICTURES)]
    seen = [colours_in(picture) for picture in (*drills, *practice, *pages)]
    assert not [found for colours in seen if (found := apart(colours))]
    assert sum(len(colours) > 1 for colours in seen) > PICTURES


@pytest.mark.parametrize("kind", ["shapes", "charts", "price_tags"])
def test_held_out_pictures_do(kind: str) -> None:
    """So that the tests above look at what they should."""
    assert sum(bool(apart(colours)) for colours in seen_in(kind, "held-out")) > PICTURES / 4
