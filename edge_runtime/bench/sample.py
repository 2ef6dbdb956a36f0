"""A picture to measure with where none is given."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageDraw

SIZE = (1280, 960)  # a small photo: decoding and shrinking take their usual time
QUALITY = 90


def sample_jpeg() -> bytes:
    """The same on every machine, as far as Pillow is: a lamp and a few boxes before a noisy sky."""
    width, height = SIZE
    rng = np.random.Generator(np.random.PCG64(7))
    sky = np.linspace(60, 200, height)[:, None, None] + rng.normal(0, 12, (height, width, 3))
    picture = Image.fromarray(np.clip(sky, 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(picture)
    draw.ellipse((width // 3, height // 4, width // 2, height // 2), fill=(240, 220, 90))
    for step in range(8):
        left = step * width // 8
        draw.rectangle((left, height - 90 - 30 * step, left + 110, height), fill=(25 * step, 90, 160))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()
