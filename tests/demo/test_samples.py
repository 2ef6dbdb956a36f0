"""The pictures that ship are what the generator draws, and nothing the model was trained on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from demo.samples import FOLDER, LIST, drawn_samples, samples


def test_what_ships_is_what_the_generator_draws() -> None:
    found, pictures = drawn_samples()
    assert tuple(found) == samples()
    assert sorted(path.name for path in Path(FOLDER).iterdir()) == sorted([LIST, *pictures])
    for name, picture in pictures.items():
        with Image.open(FOLDER / name) as shipped:
            assert np.array_equal(np.asarray(shipped), np.asarray(picture))


def test_five_pictures_are_asked_about() -> None:
    assert len({sample.picture for sample in samples()}) == 5
    assert len({sample.question for sample in samples()}) == len(samples())
