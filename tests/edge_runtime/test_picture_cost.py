"""What decoding is said to take beside what it takes."""

from __future__ import annotations

import io
import subprocess
import sys
from typing import Any

import pytest
from PIL import Image
from PIL.ImageFile import ImageFile

from edge_runtime.child import child_environment
from edge_runtime.errors import EdgeVLError
from edge_runtime.picture import picture_from_bytes
from edge_runtime.picture_cost import decoding_bytes, piece_of
from edge_runtime.picture_header import header_from_bytes
from edge_runtime.picture_limits import PictureLimits

SIZE = (2000, 1500)
KINDS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "png": ("PNG", "RGB", {}),
    "png with transparency": ("PNG", "RGBA", {}),
    "png of grey": ("PNG", "L", {}),
    "png of 16 bits": ("PNG", "I;16", {}),
    "webp": ("WEBP", "RGB", {}),
    "webp without loss": ("WEBP", "RGBA", {"lossless": True}),
    "gif": ("GIF", "P", {}),
    "bmp": ("BMP", "RGB", {}),
    "tiff": ("TIFF", "RGB", {"compression": "tiff_lzw"}),
    "tiff in one strip": ("TIFF", "RGB", {"compression": "tiff_deflate", "tiffinfo": {278: SIZE[1]}}),
    "ppm": ("PPM", "RGB", {}),
    "jpeg": ("JPEG", "RGB", {}),
    "progressive jpeg": ("JPEG", "RGB", {"progressive": True}),
    "progressive jpeg in four inks": ("JPEG", "CMYK", {"progressive": True}),
}
GROWTH = """
import io, sys
from pathlib import Path
from edge_runtime.picture import picture_from_bytes
from edge_runtime.picture_limits import PictureLimits
def peak():
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) * 1024
small, large = (bytes.fromhex(line) for line in sys.stdin.read().split())
picture_from_bytes(small, PictureLimits())
before = peak()
picture_from_bytes(large, PictureLimits())
print(peak() - before)
"""


def file_of(kind: str, size: tuple[int, int] = SIZE) -> bytes:
    form, mode, options = KINDS[kind]
    file = io.BytesIO()
    Image.new(mode, size).save(file, form, **options)
    return file.getvalue()


@pytest.mark.parametrize("kind", KINDS)
def test_no_more_is_taken_than_is_said(kind: str) -> None:
    words = f"{file_of(kind, (8, 8)).hex()} {file_of(kind).hex()}"
    command = [sys.executable, "-c", GROWTH]
    ended = subprocess.run(
        command, input=words, stdout=subprocess.PIPE, text=True, env=child_environment(), check=True
    )
    with Image.open(io.BytesIO(file_of(kind))) as opened:
        said = decoding_bytes(opened)
    assert int(ended.stdout) < 1.15 * said + (2 << 20)


def test_a_jpeg_whose_components_are_scanned_apart_holds_its_coefficients() -> None:
    """Pillow writes none: its own file, told to have one component in its first scan."""
    data = file_of("jpeg")
    assert not header_from_bytes(data).is_scanned_apart
    scan = data.index(b"\xff\xda")
    assert data[scan + 4] == 3
    apart = data[: scan + 4] + b"\x01" + data[scan + 5 :]
    assert header_from_bytes(apart).is_scanned_apart
    with Image.open(io.BytesIO(data)) as opened:
        assert isinstance(opened, ImageFile)
        plain, held = decoding_bytes(opened), decoding_bytes(opened, is_scanned_apart=True)
    assert held - plain == 3 * SIZE[0] * SIZE[1]  # two bytes of one and a half samples a pixel
    with Image.open(io.BytesIO(file_of("progressive jpeg"))) as opened:
        assert isinstance(opened, ImageFile)
        assert decoding_bytes(opened) == held


def test_a_strip_of_a_packed_tiff_is_counted() -> None:
    with Image.open(io.BytesIO(file_of("tiff in one strip"))) as opened:
        assert isinstance(opened, ImageFile)
        assert piece_of(opened) == 3 * SIZE[0] * SIZE[1]


def test_what_takes_too_much_is_refused_before_it_is_decoded() -> None:
    limits = PictureLimits(max_decoding_bytes=20_000_000)
    picture_from_bytes(file_of("jpeg"), limits)
    with pytest.raises(EdgeVLError, match=r"EVL-IMAGE-BOMB") as caught:
        picture_from_bytes(file_of("progressive jpeg in four inks"), limits)
    assert "MiB to decode" in caught.value.why
