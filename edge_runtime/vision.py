"""Pictures to decoder rows, encoded once and remembered by content."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Generator
from dataclasses import dataclass

import numpy as np
from PIL import Image

from edge_runtime.backends.backend import Array, Backend
from edge_runtime.preprocess import pixels_from_picture
from edge_runtime.spec import ModelSpec, Role
from edge_runtime.stopwatch import Stopwatch

TOWERS: dict[str, Role] = {"high": "vision_high", "low": "vision_low"}
REMEMBERED = 8  # pictures; one is 4.5 MiB of fp16 rows for the 7B model
MOST_REMEMBERED = 64


@dataclass(frozen=True)
class DecodedImage:
    """A picture that no tower has seen yet."""

    digest: bytes
    picture: Image.Image


@dataclass(frozen=True)
class EncodedImage:
    """A picture as the decoder sees it."""

    digest: bytes
    rows: Array  # (tokens, D)


def digest_of(picture: Image.Image) -> bytes:
    """The same for the same pixels, however they were stored."""
    size = np.asarray(picture.size, dtype="<u4").tobytes()
    return hashlib.sha256(size + picture.tobytes()).digest()


def remembered_for(slots: int, capacity: int, image_tokens: int) -> int:
    """As many pictures as so many rows of a KV cache can hold: one whose keys and values are all there is not to be encoded
    again for the next question. That costs little beside the cache: a picture of the 7B model is 4.5 MiB of fp16 rows
    (twice that where the adaptor is fp32) and 270 MiB of fp16 keys and values. At most 64, which are 288 MiB (576)."""
    return min(max(REMEMBERED, slots * (capacity // image_tokens)), MOST_REMEMBERED)


class VisionEncoder:
    """Preprocessing, towers and adaptor. The last few pictures are kept, oldest out first."""

    def __init__(self, backend: Backend, spec: ModelSpec, remembered: int = REMEMBERED) -> None:
        self.spec = spec
        self.remembered = remembered
        # Opened here, so that the first answer's times are those of every answer.
        self._graphs = {role: backend.graph(role) for role in spec.roles if role not in ("embed", "decoder")}
        self._known: OrderedDict[bytes, EncodedImage] = OrderedDict()

    def knows(self, digest: bytes) -> bool:
        return digest in self._known

    def encode(self, picture: Image.Image, stopwatch: Stopwatch, digest: bytes | None = None) -> EncodedImage:
        return finished(self.stages(picture, stopwatch, digest))

    def stages(
        self, picture: Image.Image, stopwatch: Stopwatch, digest: bytes | None = None
    ) -> Generator[None, None, EncodedImage]:
        """As `encode`, stopping after each piece of the work. One picture at a time: the graphs are its own until its
        stages are over, or closed. `digest` is the picture's, if it is known already."""
        digest = digest or digest_of(picture)
        if digest not in self._known:
            rows = yield from self._rows(picture, stopwatch)
            encoded = EncodedImage(digest, rows)
            if not np.isfinite(rows).all():
                return encoded  # the answer will say so; it is no knowledge of the picture
            self._known[digest] = encoded
            while len(self._known) > self.remembered:
                self._known.popitem(last=False)
        self._known.move_to_end(digest)
        return self._known[digest]

    def _rows(self, picture: Image.Image, stopwatch: Stopwatch) -> Generator[None, None, Array]:
        with stopwatch.time("preprocess"):
            pixels = pixels_from_picture(picture, self.spec.preprocess)
        feeds = {"low": pixels.low} if pixels.high is None else {"high": pixels.high, "low": pixels.low}
        running: dict[str, Callable[[], dict[str, Array]]] = {}
        # Both towers are begun before either is waited for: an engine may run them side by side.
        for side, fed in feeds.items():
            yield
            with stopwatch.time("vision"):
                running[side] = self._graphs[TOWERS[side]].launch({"pixels": fed[None]})
        yield
        with stopwatch.time("vision"):
            features = {side: finished()["features"] for side, finished in running.items()}
        yield
        with stopwatch.time("vision"):
            rows: Array = self._graphs["adaptor"].launch(features)()["embeds"][0]
        return rows


def finished(stages: Generator[None, None, EncodedImage]) -> EncodedImage:
    try:
        while True:
            next(stages)
    except StopIteration as end:
        found: EncodedImage = end.value
        return found
