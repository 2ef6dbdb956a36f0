"""Pictures that need no download: noise whose power falls with frequency as that of photographs does."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

SIDE = 1024
HELD_OUT = 1_000_000  # numbers from here on are never calibrated with


def picture_from_number(number: int, side: int = SIDE) -> Image.Image:
    """The same on every machine, up to rounding."""
    rng = np.random.Generator(np.random.PCG64(number))
    rows, columns = np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None, :]
    frequency = np.hypot(rows, columns)
    frequency[0, 0] = np.inf  # no mean: brightness is chosen below
    light, tint = noise(rng, frequency, side), noise(rng, frequency, side)
    planes = [light + share * tint for share in (-0.3, 0.1, 0.3)]
    brightness, contrast = rng.uniform(90, 165), rng.uniform(30, 70)
    values = np.stack([brightness + contrast * plane for plane in planes], axis=-1)
    return Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8), "RGB")


def noise(rng: np.random.Generator, frequency: npt.NDArray[np.float64], side: int) -> npt.NDArray[np.float64]:
    """Of unit spread; amplitudes fall as 1/f."""
    spectrum = (rng.standard_normal(frequency.shape) + 1j * rng.standard_normal(frequency.shape)) / frequency
    plane: npt.NDArray[np.float64] = np.fft.irfft2(spectrum, s=(side, side))
    plane /= plane.std()
    return plane


def write_pictures(folder: Path, numbers: Iterable[int], side: int = SIDE) -> list[Path]:
    """One file for each number; those that are there already stay."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number in numbers:
        path = folder / f"{number}.png"
        if not path.exists():
            picture_from_number(number, side).save(path, compress_level=1)
        paths.append(path)
    return paths
