"""What decoding a picture takes of the memory, told before it is decoded."""

from __future__ import annotations

from PIL import JpegImagePlugin
from PIL.ImageFile import ImageFile

# Bytes a pixel that Pillow holds: one for grey and palettes, two for 16 bits of grey, four for everything in colour.
NARROW = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2, "LA": 4, "PA": 4}
COLOUR = 4
HIGH_BYTES = 4  # 16 bits are halved by way of an array of each width
CANVASES = 12  # of WebP: two canvases of its decoder's and their copy on the way out, four bytes each
COEFFICIENT = 2  # of a progressive JPEG: all of them are held until the last pass


def decoding_bytes(opened: ImageFile) -> int:
    """Of what is opened and not loaded yet, until it is plain RGB: an upper bound, without the file itself."""
    width, height = opened.size
    held = NARROW.get(opened.mode, COLOUR)
    copied = 0 if opened.mode == "RGB" else COLOUR
    narrowed = HIGH_BYTES if held == 2 or opened.mode == "I" else 0
    canvases = CANVASES if opened.format == "WEBP" else 0
    return int(width * height * (held + copied + narrowed + canvases + coefficients_of(opened)))


def coefficients_of(opened: ImageFile) -> float:
    """Bytes a pixel."""
    if not isinstance(opened, JpegImagePlugin.JpegImageFile) or "progressive" not in opened.info:
        return 0.0
    samples = [(across, down) for _, across, down, _ in opened.layer]
    whole = max(across for across, _ in samples) * max(down for _, down in samples)
    return COEFFICIENT * sum(across * down for across, down in samples) / whole
