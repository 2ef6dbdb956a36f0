"""Pictures that no camera makes, and what becomes of each: the size it is decoded to, or the code it is refused with.

For every test that sends pictures: over HTTP, to the worker, or straight to the rules.
"""

from __future__ import annotations

import base64
import gzip
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from PIL import Image

from tests.edge_runtime.test_picture import (
    CLAIMS,
    SLOW,
    SMALL,
    chunk,
    encoded,
    gif_claim,
    grey_png,
    noise,
    png,
)

Size = tuple[int, int]


@dataclass(frozen=True)
class OddPicture:
    """`code` is what it is refused with, `size` what it decodes to, upright: one of the two. `is_told_unread` is whether
    the refusal needs no decoding, and so comes from the front end."""

    make: Callable[[], bytes]
    kind: str = "image/png"
    size: Size | None = None
    code: str | None = None
    is_told_unread: bool = True

    def __post_init__(self) -> None:
        assert (self.size is None) != (self.code is None)

    def data_url(self) -> str:
        return f"data:{self.kind};base64,{base64.b64encode(self.make()).decode()}"


def turned_jpeg() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(noise(40, 24), "JPEG", exif=exif)


def animated(kind: str, frames: int) -> bytes:
    pictures = [Image.new("L", (16, 16), turn * 101 % 251) for turn in range(frames)]
    return encoded(pictures[0], kind, save_all=True, append_images=pictures[1:])


def animated_png() -> bytes:
    """An APNG made by hand, of one frame repeated."""
    control = struct.pack(">IIIIIHHBB", 0, 8, 8, 0, 0, 1, 10, 0, 0)
    return png(8, 8, chunk(b"acTL", struct.pack(">II", 2, 0)), chunk(b"fcTL", control), rows=bytes(9 * 8))


def with_profile() -> bytes:
    return encoded(noise(17, 11), "PNG", icc_profile=b"not a profile at all" * 20)


def deep_colour() -> bytes:
    return png(5, 4, rows=bytes(4 * (1 + 5 * 6)), depth=16, colour=2)


DECODED: Mapping[str, OddPicture] = {
    "1x1": OddPicture(lambda: encoded(noise(1, 1), "PNG"), size=(1, 1)),
    "1x16384": OddPicture(lambda: grey_png(1, 16_384), size=(1, 16_384)),
    "16384x1": OddPicture(lambda: grey_png(16_384, 1), size=(16_384, 1)),
    "16-bit grey": OddPicture(lambda: png(4, 3, rows=bytes(3 * 9), depth=16), size=(4, 3)),
    "16-bit colour": OddPicture(deep_colour, size=(5, 4)),
    "palette": OddPicture(lambda: SMALL["png-palette"], size=(17, 11)),
    "RGBA": OddPicture(lambda: encoded(noise(17, 11, "RGBA"), "PNG"), size=(17, 11)),
    "CMYK": OddPicture(lambda: encoded(noise(17, 11, "CMYK"), "JPEG"), "image/jpeg", size=(17, 11)),
    "one bit": OddPicture(lambda: encoded(noise(17, 11, "1"), "PNG"), size=(17, 11)),
    "progressive JPEG": OddPicture(lambda: SMALL["jpeg-progressive"], "image/jpeg", size=(17, 11)),
    "turned by EXIF": OddPicture(turned_jpeg, "image/jpeg", size=(24, 40)),
    "ICC profile of nonsense": OddPicture(with_profile, size=(17, 11)),
    "GIF of one frame": OddPicture(lambda: SMALL["gif"], "image/gif", size=(17, 11)),
    "WebP": OddPicture(lambda: SMALL["webp"], "image/webp", size=(17, 11)),
    "TIFF": OddPicture(lambda: SMALL["tiff"], "image/tiff", size=(17, 11)),
    "JPEG called PNG": OddPicture(lambda: SMALL["jpeg-progressive"], "image/png", size=(17, 11)),
}

REFUSED: Mapping[str, OddPicture] = {
    "no bytes": OddPicture(lambda: b"", code="EVL-IMAGE-BROKEN"),
    "0x0": OddPicture(lambda: png(0, 0), code="EVL-IMAGE-BROKEN"),
    "65535x1": OddPicture(lambda: grey_png(65_535, 1), code="EVL-IMAGE-BOMB"),
    "20000x20000 that compresses well": OddPicture(
        lambda: png(20_000, 20_000, rows=bytes(20_001 * 20_000)), code="EVL-IMAGE-BOMB"
    ),
    "GIF with a canvas of 65535": OddPicture(
        lambda: gif_claim(65_535, 65_535), "image/gif", code="EVL-IMAGE-BOMB"
    ),
    "GIF of 1000 frames": OddPicture(lambda: animated("GIF", 1000), "image/gif", code="EVL-IMAGE-FRAMES"),
    "animated WebP": OddPicture(lambda: animated("WEBP", 3), "image/webp", code="EVL-IMAGE-FRAMES"),
    "animated PNG": OddPicture(animated_png, code="EVL-IMAGE-FRAMES"),
    "TIFF of three pages": OddPicture(lambda: animated("TIFF", 3), "image/tiff", code="EVL-IMAGE-FRAMES"),
    "gzipped PNG": OddPicture(lambda: gzip.compress(SMALL["png"]), code="EVL-IMAGE-FORMAT"),
    "text called PNG": OddPicture(lambda: b"my dog\n" * 9, code="EVL-IMAGE-FORMAT"),
    "SVG called PNG": OddPicture(
        lambda: b"<svg xmlns='http://www.w3.org/2000/svg'/>", code="EVL-IMAGE-FORMAT"
    ),
    "SVG": OddPicture(lambda: b"<svg/>", "image/svg+xml", code="EVL-IMAGE-FORMAT"),
    "HEIC called JPEG": OddPicture(
        lambda: b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "image/jpeg", code="EVL-IMAGE-FORMAT"
    ),
    "AVIF called PNG": OddPicture(lambda: encoded(noise(16, 16), "AVIF"), code="EVL-IMAGE-FORMAT"),
    "truncated JPEG": OddPicture(
        lambda: encoded(noise(90, 80), "JPEG")[:1500],
        "image/jpeg",
        code="EVL-IMAGE-BROKEN",
        is_told_unread=False,
    ),
    "truncated PNG": OddPicture(
        lambda: encoded(noise(90, 80), "PNG")[:-900], code="EVL-IMAGE-BROKEN", is_told_unread=False
    ),
    "float samples": OddPicture(
        lambda: encoded(Image.new("F", (4, 4)), "TIFF"),
        "image/tiff",
        code="EVL-IMAGE-FORMAT",
        is_told_unread=False,
    ),
}

# small files that claim to be huge, of every format
HUGE: Mapping[str, OddPicture] = {
    f"{name} of 30000x30000": OddPicture(partial(claim, 30_000, 30_000), code="EVL-IMAGE-BOMB")
    for name, claim in CLAIMS.items()
}

# files of up to 64 MiB that would take minutes to read; each takes a moment to make
TOILSOME: Mapping[str, Callable[[], bytes]] = SLOW

ODD_PICTURES: Mapping[str, OddPicture] = {**DECODED, **REFUSED, **HUGE}
