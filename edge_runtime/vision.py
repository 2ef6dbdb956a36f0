"""Pictures to decoder rows, encoded once and remembered by content."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
from PIL import Image

from edge_runtime.backends.backend import Array, Backend
from edge_runtime.preprocess import pixels_from_picture
from edge_runtime.spec import ModelSpec, Role
from edge_runtime.stopwatch import Stopwatch

TOWERS: dict[str, Role] = {"high": "vision_high", "low": "vision_low"}
REMEMBERED = 8  # pictures; one is 4.5 MiB of fp16 rows for the 7B model


@dataclass(frozen=True)
class EncodedImage:
    """A picture as the decoder sees it."""

    digest: bytes
    rows: Array  # (tokens, D)


def digest_of(picture: Image.Image) -> bytes:
    """The same for the same pixels, however they were stored."""
    size = np.asarray(picture.size, dtype="<u4").tobytes()
    return hashlib.sha256(size + picture.tobytes()).digest()


class VisionEncoder:
    """Preprocessing, towers and adaptor. The last few pictures are kept, oldest out first."""

    def __init__(self, backend: Backend, spec: ModelSpec, remembered: int = REMEMBERED) -> None:
        self.spec = spec
        self.remembered = remembered
        # Opened here, so that the first answer's times are those of every answer.
        self._graphs = {role: backend.graph(role) for role in spec.roles if role not in ("embed", "decoder")}
        self._known: OrderedDict[bytes, EncodedImage] = OrderedDict()

    def encode(self, picture: Image.Image, stopwatch: Stopwatch) -> EncodedImage:
        digest = digest_of(picture)
        if digest not in self._known:
            self._known[digest] = EncodedImage(digest, self._rows(picture, stopwatch))
            while len(self._known) > self.remembered:
                self._known.popitem(last=False)
        self._known.move_to_end(digest)
        return self._known[digest]

    def _rows(self, picture: Image.Image, stopwatch: Stopwatch) -> Array:
        with stopwatch.time("preprocess"):
            pixels = pixels_from_picture(picture, self.spec.preprocess)
        with stopwatch.time("vision"):
            feeds = {"low": pixels.low} if pixels.high is None else {"high": pixels.high, "low": pixels.low}
            # Both towers are begun before either is waited for: an engine may run them side by side.
            running = {
                side: self._graphs[TOWERS[side]].launch({"pixels": fed[None]}) for side, fed in feeds.items()
            }
            features = {side: finished()["features"] for side, finished in running.items()}
            rows: Array = self._graphs["adaptor"].launch(features)()["embeds"][0]
        return rows
