"""Pictures to ask about, as many as are wanted, all different."""

from __future__ import annotations

import io
from functools import lru_cache

import numpy as np
from PIL import Image

SIZE = (320, 240)


@lru_cache(maxsize=256)  # drawing one takes longer than asking about it
def picture(number: int) -> bytes:
    """A PNG of coloured blocks: its file is small, and no two are alike."""
    rng = np.random.Generator(np.random.PCG64(number))
    blocks = rng.integers(0, 255, (6, 8, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(blocks).resize(SIZE, Image.Resampling.NEAREST).save(file, "PNG")
    return file.getvalue()
