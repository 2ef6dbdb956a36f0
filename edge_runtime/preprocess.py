"""The model's rule for pixels: a decoded RGB picture in, normalised planes for each tower out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from edge_runtime.spec import PixelSpec, PreprocessSpec

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Pixels:
    """What the towers are fed: C-contiguous float32 planes; `high` is None without a SAM tower."""

    high: Floats | None  # (3, S, S)
    low: Floats  # (3, s, s)

    def __post_init__(self) -> None:
        for planes in (self.low,) if self.high is None else (self.low, self.high):
            assert planes.dtype == np.float32
            assert planes.flags.c_contiguous
            assert planes.shape == (3, planes.shape[-1], planes.shape[-1])


def canvas_from_picture(picture: Image.Image, spec: PreprocessSpec) -> Image.Image:
    """The integer half of the rule, equal byte for byte to the original code: truncating bicubic
    resize so that the longer side fills the canvas, then centring on a square of background. The canvas of a canvas is
    itself."""
    assert picture.mode == "RGB"
    side = spec.canvas
    resized = picture.resize(_resized_size(picture.size, spec), Image.Resampling.BICUBIC)
    # a floor above the canvas would make the square larger than the towers take
    assert max(resized.size) == side
    if resized.size == (side, side):
        return resized
    canvas = Image.new("RGB", (side, side), spec.background)
    canvas.paste(resized, ((side - resized.width) // 2, (side - resized.height) // 2))
    return canvas


def pixels_from_picture(picture: Image.Image, spec: PreprocessSpec) -> Pixels:
    """The whole rule. The low tower's pixels are resized from the high canvas in float, unrounded."""
    unit = _unit_from_canvas(canvas_from_picture(picture, spec))
    if spec.high is None:
        return Pixels(high=None, low=_normalised(unit, spec.low))
    low = _normalised(_shrunk(unit, spec.low.size), spec.low)
    return Pixels(high=_normalised(unit, spec.high), low=low)


def _resized_size(size: tuple[int, int], spec: PreprocessSpec) -> tuple[int, int]:
    width, height = size
    longer = max(width, height)
    # divide, multiply, truncate, in this order: any other spelling moves some sizes by one pixel
    return (
        max(int(width / longer * spec.canvas), spec.min_side),
        max(int(height / longer * spec.canvas), spec.min_side),
    )


def _unit_from_canvas(canvas: Image.Image) -> Floats:
    unit = np.empty((3, canvas.height, canvas.width), np.float32)
    for plane, band in zip(unit, canvas.split(), strict=True):
        # true division: x * float32(1/255) is off by one ulp for half of all byte values
        np.divide(np.asarray(band), np.float32(255), out=plane, dtype=np.float32)
    return unit


def _normalised(unit: Floats, spec: PixelSpec) -> Floats:
    """Overwrites and returns `unit`."""
    unit -= np.array(spec.mean, np.float32)[:, None, None]
    unit /= np.array(spec.std, np.float32)[:, None, None]
    return unit


def _shrunk(unit: Floats, side: int) -> Floats:
    # Pillow's float resize is the same filter as torch's antialiased bilinear, with weights and sums
    # in double; a dense matrix product is as exact but five times slower.
    shrunk = np.empty((3, side, side), np.float32)
    for target, plane in zip(shrunk, unit, strict=True):
        target[:] = np.asarray(Image.fromarray(plane).resize((side, side), Image.Resampling.BILINEAR))
    return shrunk
