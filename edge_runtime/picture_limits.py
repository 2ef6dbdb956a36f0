"""What a picture may ask for, and whether its header keeps to it: nothing is decoded, and neither numpy nor Pillow needed."""

from __future__ import annotations

from dataclasses import dataclass

from edge_runtime.errors import EdgeVLError
from edge_runtime.picture_header import PictureHeader, broken, header_from_bytes


@dataclass(frozen=True)
class PictureLimits:
    """What a picture may ask for before it is refused unread."""

    max_file_bytes: int = 64 * 2**20
    max_pixels: int = 25_000_000
    max_side: int = 16_384
    max_decoding_bytes: int = 1 << 30  # what decoding may hold for a moment

    def __post_init__(self) -> None:
        if min(self.max_file_bytes, self.max_pixels, self.max_side, self.max_decoding_bytes) <= 0:
            raise ValueError("picture limits must be positive")


def checked_header(data: bytes, limits: PictureLimits) -> PictureHeader:
    """Raises EdgeVLError for all that is wrong with a file before it is decoded."""
    check_length(len(data), limits.max_file_bytes)
    if not data:
        raise EdgeVLError(
            "EVL-IMAGE-BROKEN", "the picture is empty", "there are no bytes in it", "send it again"
        )
    header = header_from_bytes(data)
    check_size((header.width, header.height), limits)
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


def check_size(size: tuple[int, int], limits: PictureLimits) -> None:
    width, height = size
    if min(size) <= 0:
        raise broken(f"its header says {width} x {height} pixels")
    if max(size) > limits.max_side:
        raise too_large(f"{width} x {height} pixels, the longest side allowed is {limits.max_side}")
    if width * height > limits.max_pixels:
        raise too_large(f"{width} x {height} pixels, the limit is {limits.max_pixels} in all")


def too_large(why: str) -> EdgeVLError:
    return EdgeVLError("EVL-IMAGE-BOMB", "the picture is too large", why, "make it smaller and send it again")
