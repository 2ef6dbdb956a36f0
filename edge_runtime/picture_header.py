"""What an untrusted picture file claims to be, read by us in bounded time before Pillow sees a byte.

Pillow's own guards are not enough: it only warns between one and two times its pixel limit, its
WebP reader takes the canvas memory while opening, and its header loops run once per chunk, so a
file of tiny chunks costs minutes. Each walk below therefore has a budget of steps. A walk that runs
off the end of the data just stops: telling truncated from complete is the decoder's work.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import Literal

from edge_runtime.errors import EdgeVLError

PictureFormat = Literal["PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM"]

PNG_CHUNKS = 65_536
PNG_PACKED_TEXTS = 256  # each may inflate to Pillow's limit of 1 MiB
PNG_ONE_FRAME = b"\0\0\0\1"
PNG_APART = frozenset((b"acTL", b"fdAT"))  # with both, some frame's samples are not the picture's own
JPEG_SEGMENTS = 16_384
JPEG_SCANS = 64  # libjpeg writes 10; every scan, however short, visits every block of the picture
JPEG_EXIFS = 16  # Pillow joins them in quadratic time
JPEG_STRAY_BYTES = 4_096  # between segments; Pillow reads them one at a time
GIF_BLOCKS = 400_000  # 64 MiB in full blocks of 255 bytes need 263,172
WEBP_CHUNKS = 4_096
TIFF_TAGS = 4_096
TIFF_VALUES = 100_000  # of one tag: six planes of 16,384 strips; Pillow makes an object for each
PNM_HEADER_BYTES = 4_096
PNM_COMMENTS = 64  # Pillow copies a whole megabyte for each comment among plain-text samples

JPEG_SCAN, JPEG_END, JPEG_APP1 = 0xDA, 0xD9, 0xE1
JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
JPEG_BARE = (0x01, 0xD8)  # markers without a length
GIF_EXTENSION, GIF_IMAGE, GIF_TRAILER = 0x21, 0x2C, 0x3B
TIFF_SIDES = (256, 257, 322, 323)  # width and height of the picture, then of a tile
TIFF_INTEGERS = {1: "B", 3: "H", 4: "I", 16: "Q"}
TIFF_BYTE_STRINGS = (1, 2, 7)  # Pillow keeps these as one object, whatever their length

JPEG_NEXT_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
PNM_HEADER = re.compile(rb"P[1-6](?:\s|#[^\r\n]*[\r\n])+(\d{1,9})(?:\s|#[^\r\n]*[\r\n])+(\d{1,9})\s")

# (offset, bytes, name) of what people send by mistake
STRANGERS = (
    (4, b"ftypavi", "an AVIF picture"),
    (4, b"ftypheic", "a HEIC picture"),
    (4, b"ftypheix", "a HEIC picture"),
    (4, b"ftyphev", "a HEIC picture"),
    (4, b"ftypmif1", "a HEIF picture"),
    (4, b"ftypmsf1", "a HEIF picture"),
    (4, b"ftyp", "a video"),
    (0, b"\x1aE\xdf\xa3", "a video"),
    (0, b"\0\0\0\x0cjP  ", "a JPEG 2000 picture"),
    (0, b"\xff\x4f\xff\x51", "a JPEG 2000 picture"),
    (0, b"\0\0\0\x0cJXL ", "a JPEG XL picture"),
    (0, b"\xff\x0a", "a JPEG XL picture"),
    (0, b"8BPS", "a Photoshop file"),
    (0, b"\0\0\x01\0", "an icon file (ICO)"),
    (0, b"%PDF", "a PDF document"),
    (0, b"%!PS", "a PostScript file"),
    (0, b"v/1\x01", "an OpenEXR picture"),
    (0, b"#?RADIANCE", "a Radiance HDR picture"),
    (0, b"qoif", "a QOI picture"),
    (0, b"PK\x03\x04", "a ZIP archive"),
    (0, b"\x1f\x8b", "a gzip archive"),
)


@dataclass(frozen=True)
class PictureHeader:
    """The largest size the file claims anywhere; `frames` is 1, or 2 for any animation or page set."""

    format: PictureFormat
    width: int
    height: int
    frames: int = 1
    is_scanned_apart: bool = False  # a JPEG whose first scan has not all of its components


def header_from_bytes(data: bytes) -> PictureHeader:
    """Raises EdgeVLError when the bytes are no allowed format or exceed a budget of parsing."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return _png_header(data)
    if data.startswith(b"\xff\xd8\xff"):
        return _jpeg_header(data)
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return _webp_header(data)
    if data.startswith((b"GIF87a", b"GIF89a")):
        return _gif_header(data)
    if data.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return _tiff_header(data)
    if data.startswith(b"BM"):
        return _bmp_header(data)
    if PNM_HEADER.match(data, 0, PNM_HEADER_BYTES):
        return _pnm_header(data)
    raise _stranger(data)


def broken(why: str) -> EdgeVLError:
    return EdgeVLError(
        "EVL-IMAGE-BROKEN", "the picture is damaged", why, "open it in a picture program and save it again"
    )


def crowded(why: str) -> EdgeVLError:
    return EdgeVLError(
        "EVL-IMAGE-BOMB",
        "the picture is built to be slow or large to read",
        why,
        "open it in a picture program and save it again as PNG or JPEG",
    )


def _unpack(layout: str, data: bytes, at: int) -> tuple[int, ...]:
    if at + struct.calcsize(layout) > len(data):
        raise broken("the file ends inside its header")
    values: tuple[int, ...] = struct.unpack_from(layout, data, at)
    return values


def _png_header(data: bytes) -> PictureHeader:
    at, chunks, packed, width, height, frames = 8, 0, 0, 0, 0, 1
    apart = set[bytes]()
    while at + 16 <= len(data):
        length, name = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        chunks += 1
        packed += name in (b"iCCP", b"zTXt", b"iTXt")
        if chunks > PNG_CHUNKS or packed > PNG_PACKED_TEXTS:
            raise crowded(f"it has more than {PNG_CHUNKS} chunks or {PNG_PACKED_TEXTS} compressed texts")
        if name == b"IHDR":  # Pillow believes the last one
            wide, high = _unpack(">II", data, at + 8)
            width, height = max(width, wide), max(height, high)
        if name == b"acTL" and data[at + 8 : at + 12] != PNG_ONE_FRAME:
            frames = 2
        apart |= {name} & PNG_APART
        if name == b"IEND":
            break
        at += 12 + length
    return PictureHeader("PNG", width, height, 2 if apart == PNG_APART else frames)


def _jpeg_header(data: bytes) -> PictureHeader:
    """Walks to the first end-of-image marker: further frames (MPO) and trailing video are ignored."""
    at, width, height, segments, scans, exifs, stray = 2, 0, 0, 0, 0, 0, 0
    components, least = 0, 255  # of the picture, and of a scan
    while found := JPEG_NEXT_MARKER.search(data, at):
        stray += 0 if scans else found.start() - at  # inside a scan these bytes are its samples
        marker, at = data[found.start() + 1], found.end()
        if marker == JPEG_END or at + 8 > len(data):
            break
        segments += 1
        scans += marker == JPEG_SCAN
        exifs += marker == JPEG_APP1 and data[at + 2 : at + 8] == b"Exif\0\0"
        if segments > JPEG_SEGMENTS or scans > JPEG_SCANS or exifs > JPEG_EXIFS or stray > JPEG_STRAY_BYTES:
            raise crowded(
                "it has far more JPEG segments, scans, Exif blocks or stray bytes than pictures have"
            )
        if marker in JPEG_FRAMES:
            high, wide = _unpack(">HH", data, at + 3)
            width, height = max(width, wide), max(height, high)
            components = max(components, data[at + 7])
        if marker == JPEG_SCAN:
            least = min(least, data[at + 2])
        if marker not in JPEG_BARE:
            at += _unpack(">H", data, at)[0]
    return PictureHeader("JPEG", width, height, is_scanned_apart=least < components)


def _webp_header(data: bytes) -> PictureHeader:
    kind = data[12:16]
    if kind == b"VP8X":
        width, height = (int.from_bytes(data[at : at + 3], "little") + 1 for at in (24, 27))
    elif kind == b"VP8L":
        bits = _unpack("<I", data, 21)[0]
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    elif kind == b"VP8 ":
        width, height = (side & 0x3FFF for side in _unpack("<HH", data, 26))
    else:
        raise broken("its first WebP chunk is of no known kind")
    return PictureHeader("WEBP", width, height, _webp_frames(data))


def _webp_frames(data: bytes) -> int:
    at, chunks, frames = 12, 0, 0
    while at + 8 <= len(data) and frames < 2:
        chunks += 1
        if chunks > WEBP_CHUNKS:
            raise crowded(f"it has more than {WEBP_CHUNKS} WebP chunks")
        frames += data[at : at + 4] == b"ANMF"
        length = _unpack("<I", data, at + 4)[0]
        at += 8 + length + length % 2
    return max(frames, 1)


def _gif_header(data: bytes) -> PictureHeader:
    width, height, flags = _unpack("<HHB", data, 6)
    at, blocks, frames = 13 + _gif_palette_bytes(flags), 0, 0
    while at < len(data) and frames < 2 and (kind := data[at]) != GIF_TRAILER:
        blocks += 1
        at += 1
        if kind == GIF_IMAGE:
            frames += 1
            left, top, wide, high, flags = _unpack("<HHHHB", data, at)
            width, height = max(width, left + wide), max(height, top + high)
            at, blocks = _gif_data_end(data, at + 10 + _gif_palette_bytes(flags), blocks)
        elif kind == GIF_EXTENSION:
            at, blocks = _gif_data_end(data, at + 1, blocks)
        if blocks > GIF_BLOCKS:
            raise crowded(f"it has more than {GIF_BLOCKS} GIF blocks")
    return PictureHeader("GIF", width, height, max(frames, 1))


def _gif_palette_bytes(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _gif_data_end(data: bytes, at: int, blocks: int) -> tuple[int, int]:
    while at < len(data) and data[at] and blocks <= GIF_BLOCKS:
        at += 1 + data[at]
        blocks += 1
    return at + 1, blocks


def _tiff_header(data: bytes) -> PictureHeader:
    """The first directory only. A second one makes the file an animation or a set of pages."""
    order, is_big = ("<" if data[:2] == b"II" else ">"), b"+" in data[2:4]
    at = _unpack(order + ("Q" if is_big else "I"), data, 8 if is_big else 4)[0]
    tags = _unpack(order + ("Q" if is_big else "H"), data, at)[0]
    at += 8 if is_big else 2
    if tags > TIFF_TAGS:
        raise crowded(f"it has more than {TIFF_TAGS} TIFF tags")
    sides: dict[int, int] = {}
    for _ in range(tags):
        tag, kind, count = _unpack(order + ("HHQ" if is_big else "HHI"), data, at)
        if count > TIFF_VALUES and kind not in TIFF_BYTE_STRINGS:
            raise crowded(f"one of its TIFF tags has more than {TIFF_VALUES} values")
        if tag in TIFF_SIDES and kind in TIFF_INTEGERS:
            side = _unpack(order + TIFF_INTEGERS[kind], data, at + (12 if is_big else 8))[0]
            sides[tag] = max(side, sides.get(tag, 0))
        at += 20 if is_big else 12
    following = _unpack(order + ("Q" if is_big else "I"), data, at)[0]
    # a tile is decoded whole, however little of it lies inside the picture
    width, height = (max(sides.get(whole, 0), sides.get(tile, 0)) for whole, tile in ((256, 322), (257, 323)))
    return PictureHeader("TIFF", width, height, 2 if following else 1)


def _bmp_header(data: bytes) -> PictureHeader:
    if _unpack("<I", data, 14)[0] == 12:
        width, height = _unpack("<HH", data, 18)
    else:
        width, height = (abs(side) for side in _unpack("<ii", data, 18))  # negative: rows from the top
    return PictureHeader("BMP", width, height)


def _pnm_header(data: bytes) -> PictureHeader:
    match = PNM_HEADER.match(data, 0, PNM_HEADER_BYTES)
    assert match is not None
    if data[1] in b"123" and data.count(b"#") > PNM_COMMENTS:
        raise crowded(f"its plain-text samples hold more than {PNM_COMMENTS} comments")
    return PictureHeader("PPM", int(match[1]), int(match[2]))


def _stranger(data: bytes) -> EdgeVLError:
    name = next((name for at, mark, name in STRANGERS if data.startswith(mark, at)), None)
    if name is None:
        start = data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
        if start.startswith((b"<svg", b"<?xml")):
            name = "an SVG drawing or other XML"
        elif start.startswith(b"<"):
            name = "a web page"
        else:
            name = (
                "of no known picture format" if b"\0" in data[:1024] or not start.isascii() else "plain text"
            )
    return EdgeVLError(
        "EVL-IMAGE-FORMAT",
        "this is not a picture that can be read",
        f"the data are {name}, whatever the file is called",
        "convert it to PNG or JPEG (WebP, BMP, GIF, TIFF and PPM are read too)",
    )
