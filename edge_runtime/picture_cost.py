"""What decoding a picture takes of the memory, told before it is decoded."""

from __future__ import annotations

from PIL import JpegImagePlugin, TiffImagePlugin
from PIL.ImageFile import ImageFile

# Bytes a pixel that Pillow holds: one for grey and palettes, two for 16 bits of grey, four for everything in colour.
NARROW = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2, "LA": 4, "PA": 4}
COLOUR = 4
HIGH_BYTES = 4  # 16 bits are halved by way of an array of each width
CANVASES = 12  # of WebP: two canvases of its decoder's and their copy on the way out, four bytes each
COEFFICIENT = 2  # of a JPEG in several scans: all of them are held until the last
SAMPLE_BITS, SAMPLES, STRIP_ROWS, TILE_WIDTH, TILE_HEIGHT = 258, 277, 278, 322, 323  # of TIFF


def decoding_bytes(opened: ImageFile, is_scanned_apart: bool = False) -> int:
    """Of what is opened and not loaded yet, until it is plain RGB: an upper bound, without the file itself. `is_scanned_apart` is
    the header's."""
    width, height = opened.size
    held = NARROW.get(opened.mode, COLOUR)
    copied = 0 if opened.mode == "RGB" else COLOUR
    narrowed = HIGH_BYTES if held == 2 or opened.mode == "I" else 0
    canvases = CANVASES if opened.format == "WEBP" else 0
    coefficients = coefficients_of(opened, is_scanned_apart)
    return int(width * height * (held + copied + narrowed + canvases + coefficients)) + piece_of(opened)


def piece_of(opened: ImageFile) -> int:
    """Of a packed TIFF: a strip or a tile is unpacked whole."""
    if not isinstance(opened, TiffImagePlugin.TiffImageFile) or not any(
        tile[0] == "libtiff" for tile in opened.tile
    ):
        return 0
    tags = opened.tag_v2
    width, height = tags.get(TILE_WIDTH, opened.width), opened.height
    rows = tags.get(TILE_HEIGHT, min(tags.get(STRIP_ROWS, height), height))
    bits = tags.get(SAMPLE_BITS, (8,))
    whole = sum(bits) if isinstance(bits, tuple) else bits * tags.get(SAMPLES, 1)
    return int(width * rows * whole) // 8


def coefficients_of(opened: ImageFile, is_scanned_apart: bool) -> float:
    """Bytes a pixel."""
    if not isinstance(opened, JpegImagePlugin.JpegImageFile):
        return 0.0
    if "progressive" not in opened.info and not is_scanned_apart:
        return 0.0
    samples = [(across, down) for _, across, down, _ in opened.layer]
    whole = max(across for across, _ in samples) * max(down for _, down in samples)
    return COEFFICIENT * sum(across * down for across, down in samples) / whole
