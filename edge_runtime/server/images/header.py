"""Whether a picture file may pass to the engine, told from its header alone: nothing is decoded on this side."""

from __future__ import annotations

from dataclasses import dataclass

from edge_runtime.errors import EdgeVLError
from edge_runtime.picture_header import PictureHeader, broken, header_from_bytes


@dataclass(frozen=True)
class HeaderLimits:
    """As edge_runtime.picture.PictureLimits, which cannot be had here: it comes with numpy and Pillow."""

    most_bytes: int
    most_pixels: int
    most_side: int


def checked_header(data: bytes, limits: HeaderLimits) -> PictureHeader:
    """Raises what edge_runtime.picture.picture_from_bytes raises, of all that it raises before it decodes."""
    check_length(len(data), limits.most_bytes)
    if not data:
        raise EdgeVLError(
            "EVL-IMAGE-BROKEN", "the picture is empty", "there are no bytes in it", "send it again"
        )
    header = header_from_bytes(data)
    _check_size(header.width, header.height, limits)
    if header.frames > 1:
        raise EdgeVLError(
            "EVL-IMAGE-FRAMES",
            "the picture is animated or has several pages",
            f"this {header.format} holds more than one frame",
            "save the frame you mean as a picture of its own",
        )
    return header


def check_length(length: int, most_bytes: int) -> None:
    if length > most_bytes:
        raise too_large(f"{length} bytes, the limit is {most_bytes}")


def too_large(why: str) -> EdgeVLError:
    return EdgeVLError("EVL-IMAGE-BOMB", "the picture is too large", why, "make it smaller and send it again")


def _check_size(width: int, height: int, limits: HeaderLimits) -> None:
    if min(width, height) <= 0:
        raise broken(f"its header says {width} x {height} pixels")
    if max(width, height) > limits.most_side:
        raise too_large(f"{width} x {height} pixels, the longest side allowed is {limits.most_side}")
    if width * height > limits.most_pixels:
        raise too_large(f"{width} x {height} pixels, the limit is {limits.most_pixels} in all")
