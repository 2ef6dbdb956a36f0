"""Files that were shown before: whoever asks again sends the same picture again."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock

from PIL import Image

REMEMBERED = 8  # megabytes each; of a picture shown again whose canvas is gone only the file is decoded again


class Canvases:
    """What became of the last few files, by their bytes. Any thread may ask."""

    def __init__(self, remembered: int = REMEMBERED) -> None:
        self._remembered = remembered
        self._known: OrderedDict[bytes, Image.Image] = OrderedDict()
        self._lock = Lock()

    def of(self, file: bytes, make: Callable[[bytes], Image.Image]) -> Image.Image:
        """The one that is known, or what `make` makes of it; what goes wrong there is remembered of nobody."""
        digest = hashlib.sha256(file).digest()
        with self._lock:
            found = self._known.get(digest)
        canvas = make(file) if found is None else found
        with self._lock:
            self._known[digest] = canvas
            self._known.move_to_end(digest)
            while len(self._known) > self._remembered:
                self._known.popitem(last=False)
        return canvas
