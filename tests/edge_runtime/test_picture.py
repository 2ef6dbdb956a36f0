"""Pictures from strangers: what is read, what is refused, and that nothing else ever happens."""

from __future__ import annotations

import io
import os
import random
import re
import struct
import subprocess
import sys
import threading
import time
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from edge_runtime import picture_header as header_module
from edge_runtime.errors import EdgeVLError
from edge_runtime.picture import picture_from_bytes, picture_from_file, picture_from_image
from edge_runtime.picture_limits import PictureLimits

LIMITS = PictureLimits()
MEMBERS = ["EVL-IMAGE-BROKEN", "EVL-IMAGE-BOMB", "EVL-IMAGE-FORMAT", "EVL-IMAGE-FRAMES", "EVL-IMAGE-FILE"]


def noise(width: int, height: int, mode: str = "RGB") -> Image.Image:
    values = np.random.default_rng(width * 31 + height).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(values).convert(mode)


def encoded(picture: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def refusal(data: bytes, limits: PictureLimits = LIMITS) -> EdgeVLError:
    with pytest.raises(EdgeVLError) as caught:
        picture_from_bytes(data, limits)
    assert caught.value.exit_status == 2
    assert caught.value.code in MEMBERS
    assert not re.search(r"0x[0-9a-f]{4,}| object at |\.py\b", str(caught.value))
    return caught.value


def decode(data: bytes) -> np.ndarray:
    picture = picture_from_bytes(data, LIMITS)
    assert picture.mode == "RGB"
    assert type(picture) is Image.Image
    assert picture.info == {}
    return np.asarray(picture)


def read_or_refused(data: bytes) -> tuple[int, ...] | str:
    """The picture's shape or the code of the user's mistake; anything else that is raised fails the test."""
    try:
        return decode(data).shape
    except EdgeVLError as error:
        return error.code if error.exit_status == 2 else f"fault: {error}"


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(
    width: int, height: int, *extra: bytes, rows: bytes | None = None, depth: int = 8, colour: int = 0
) -> bytes:
    """A PNG made by hand; without `rows` its samples are one short lie."""
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = chunk(b"IDAT", zlib.compress(b"\0" if rows is None else rows, 9))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + b"".join(extra) + body + chunk(b"IEND", b"")


def grey_png(width: int, height: int) -> bytes:
    return png(width, height, rows=bytes((width + 1) * height))


SMALL: dict[str, bytes] = {
    "png": encoded(noise(17, 11), "PNG"),
    "png-palette": encoded(noise(17, 11).quantize(16), "PNG", transparency=bytes(range(16))),
    "jpeg": encoded(
        noise(17, 11), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    ),
    "jpeg-progressive": encoded(noise(17, 11), "JPEG", progressive=True),
    "gif": encoded(noise(17, 11), "GIF"),
    "webp": encoded(noise(17, 11), "WEBP", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0"),
    "webp-lossless": encoded(noise(17, 11), "WEBP", lossless=True),
    "bmp": encoded(noise(17, 11), "BMP"),
    "tiff": encoded(noise(17, 11), "TIFF"),
    "tiff-lzw": encoded(noise(17, 11), "TIFF", compression="tiff_lzw"),
    "tiff-jpeg": encoded(noise(17, 11), "TIFF", compression="jpeg"),
    "ppm": encoded(noise(17, 11), "PPM"),
    "ppm-plain": b"P3\n# made by hand\n2 2 9\n" + b" 0 1 2 3 4 5 6 7 8 9 0 1\n",
}


# -- what is read ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind", ["png", "gif", "webp-lossless", "bmp", "tiff", "tiff-lzw", "ppm", "jpeg-progressive"]
)
def test_small_pictures_of_every_format_read_as_pillow_reads_them(kind: str) -> None:
    with Image.open(io.BytesIO(SMALL[kind])) as opened:
        assert np.array_equal(decode(SMALL[kind]), np.asarray(opened.convert("RGB")))


@pytest.mark.parametrize("size", [(1, 1), (1, 4000), (4000, 1), (1, 16_384)])
def test_thin_pictures_are_read(size: tuple[int, int]) -> None:
    assert decode(encoded(noise(*size), "PNG")).shape == (size[1], size[0], 3)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_once(orientation: int, kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(noise(40, 24), kind, exif=exif)
    with Image.open(io.BytesIO(data)) as opened:
        wanted = np.asarray(ImageOps.exif_transpose(opened).convert("RGB"))
    assert np.array_equal(decode(data), wanted)
    assert wanted.shape[:2] == ((40, 24) if orientation >= 5 else (24, 40))
    again = ImageOps.exif_transpose(picture_from_bytes(data, LIMITS))
    assert np.array_equal(np.asarray(again), wanted)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_open_picture_is_turned_once_whether_it_was_loaded_or_not(orientation: int, kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(noise(40, 24), kind, exif=exif)
    wanted = decode(data)
    with Image.open(io.BytesIO(data)) as lazy, Image.open(io.BytesIO(data)) as loaded:
        loaded.load()
        for each in (lazy, loaded):
            assert np.array_equal(np.asarray(picture_from_image(each)), wanted)


def test_an_open_picture_whose_file_is_cut_is_refused_as_damaged() -> None:
    data = encoded(noise(64, 64), "PNG")
    with Image.open(io.BytesIO(data[: len(data) // 2])) as lazy, pytest.raises(EdgeVLError) as caught:
        picture_from_image(lazy)
    assert caught.value.code == "EVL-IMAGE-BROKEN"


@pytest.mark.parametrize("is_loaded", [False, True])
def test_a_picture_that_was_closed_is_refused(is_loaded: bool, tmp_path: Path) -> None:
    noise(8, 8).save(tmp_path / "a.png")
    picture = Image.open(tmp_path / "a.png")
    if is_loaded:
        picture.load()
    picture.close()
    with pytest.raises(EdgeVLError) as caught:
        picture_from_image(picture)
    assert caught.value.code == "EVL-IMAGE-BROKEN"


def test_an_orientation_outside_the_standard_leaves_the_picture_as_it_is() -> None:
    exif = Image.Exif()
    exif[0x0112] = 77
    assert decode(encoded(noise(40, 24), "PNG", exif=exif)).shape == (24, 40, 3)


def test_16_bit_grey_is_scaled_and_not_clipped() -> None:
    values = np.linspace(0, 65535, 60 * 40).astype(np.uint16).reshape(40, 60)
    for kind in ("PNG", "TIFF", "PPM"):
        got = decode(encoded(Image.fromarray(values), kind))
        assert np.array_equal(got, np.repeat((values >> 8).astype(np.uint8)[:, :, None], 3, axis=2)), kind


def test_big_endian_16_bit_tiff_is_scaled_alike() -> None:
    values = np.array([[0, 255, 256, 65535]], np.uint16)
    got = decode(encoded(Image.fromarray(values.astype(">u2")), "TIFF"))
    assert got[0, :, 0].tolist() == [0, 0, 1, 255]


def test_a_16_bit_picture_is_turned_before_it_is_scaled() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    values = np.arange(0, 65535, 4369).astype(np.uint16).reshape(3, 5)
    for kind in ("PNG", "TIFF"):
        got = decode(encoded(Image.fromarray(values), kind, exif=exif))
        assert np.array_equal(got[:, :, 0], np.rot90(values >> 8, -1)), kind


def test_16_bit_colour_and_16_bit_grey_of_one_picture_agree() -> None:
    values = np.random.default_rng(5).integers(0, 65536, (9, 7), np.uint16)
    raw = b"".join(b"\0" + np.repeat(row, 3).astype(">u2").tobytes() for row in values)
    colour = png(7, 9, rows=raw, depth=16, colour=2)
    assert np.array_equal(decode(colour), decode(encoded(Image.fromarray(values), "PNG")))


def test_transparency_is_dropped_and_the_colour_below_stays() -> None:
    clear = Image.new("RGBA", (3, 3), (200, 100, 50, 0))
    assert decode(encoded(clear, "PNG"))[1, 1].tolist() == [200, 100, 50]


def test_a_palette_with_partial_transparency_reads_without_a_warning() -> None:
    with Image.open(io.BytesIO(SMALL["png-palette"])) as opened:
        wanted = np.asarray(opened.convert("RGBA"))[:, :, :3]
    assert np.array_equal(decode(SMALL["png-palette"]), wanted)


def test_a_phone_photo_of_two_frames_reads_as_its_first() -> None:
    first, second = noise(32, 24), noise(24, 32)
    data = encoded(first, "MPO", save_all=True, append_images=[second])
    with Image.open(io.BytesIO(data)) as opened:
        assert getattr(opened, "n_frames", 1) == 2
        assert np.array_equal(decode(data), np.asarray(opened.convert("RGB")))


def test_bytes_after_the_end_of_a_jpeg_are_ignored() -> None:
    film = random.Random(1).randbytes(3_000_000)  # a motion photo's video, full of chance markers
    assert np.array_equal(decode(SMALL["jpeg"] + film), decode(SMALL["jpeg"]))


def test_plain_text_pnm_is_read() -> None:
    assert decode(SMALL["ppm-plain"])[1, 1].tolist() == [255, 0, 28]


# -- what is refused for what it is ------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"hello, this is text\n" * 9, "plain text"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
        (encoded(noise(16, 16), "AVIF"), "AVIF"),
        (b"\xef\xbb\xbf<?xml version='1.0'?><svg/>", "SVG"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"<!DOCTYPE html><p>not found</p>", "web page"),
        (encoded(noise(16, 16), "ICO"), "ICO"),
        (b"8BPS\0\x01" + bytes(40), "Photoshop"),
        (b"%PDF-1.7\n", "PDF"),
        (encoded(noise(16, 16), "JPEG2000"), "JPEG 2000"),
        (b"\0\0\0\x20ftypisom" + bytes(40), "video"),
        (b"PK\x03\x04" + bytes(40), "ZIP"),
        (b"\x1f\x8b" + bytes(40), "gzip"),
        (bytes(range(256)), "no known"),
        (encoded(noise(16, 16), "TGA"), "no known"),
        (b"Pf\n2 2\n-1.0\n" + bytes(16), "no known"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_other_files_are_refused_by_name_with_a_remedy(data: bytes, word: str) -> None:
    error = refusal(data)
    assert error.code == "EVL-IMAGE-FORMAT"
    assert word in error.why
    assert "PNG or JPEG" in error.fix


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_animations_and_pages_are_refused(kind: str) -> None:
    data = encoded(noise(16, 16), kind, save_all=True, append_images=[noise(16, 16).rotate(90)])
    assert refusal(data).code == "EVL-IMAGE-FRAMES"


def one_frame_png(*extra: bytes) -> bytes:
    control = chunk(b"acTL", struct.pack(">II", 1, 0))
    frame = chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, 3, 2, 0, 0, 1, 10, 0, 0))
    return png(3, 2, control, frame, *extra, rows=b"\0abc\0def")


def test_an_animation_of_one_frame_is_a_picture() -> None:
    assert decode(one_frame_png())[:, :, 0].tobytes() == b"abcdef"


@pytest.mark.parametrize("count", [0, 2, 1 << 31])
def test_an_animation_of_any_other_count_is_refused(count: int) -> None:
    data = png(3, 2, chunk(b"acTL", struct.pack(">II", count, 0)), rows=bytes(8))
    assert refusal(data).code == "EVL-IMAGE-FRAMES"


def test_an_animation_whose_one_frame_is_not_the_picture_is_refused() -> None:
    data = encoded(
        noise(16, 16), "PNG", save_all=True, default_image=True, append_images=[noise(16, 16).rotate(90)]
    )
    assert b"acTL\0\0\0\1" in data
    assert refusal(data).code == "EVL-IMAGE-FRAMES"


@pytest.mark.parametrize(
    "picture",
    [Image.fromarray(np.zeros((4, 4), np.float32)), Image.fromarray(np.full((4, 4), 70_000, np.int32))],
    ids=["float", "32-bit"],
)
def test_samples_without_an_agreed_range_are_refused(picture: Image.Image) -> None:
    assert refusal(encoded(picture, "TIFF")).code == "EVL-IMAGE-FORMAT"


def test_empty_data_are_refused() -> None:
    assert refusal(b"").code == "EVL-IMAGE-BROKEN"


# -- what is refused for its size --------------------------------------------------------------


def bmp_claim(width: int, height: int) -> bytes:
    data = bytearray(SMALL["bmp"])
    data[18:26] = struct.pack("<ii", width, height)
    return bytes(data)


def gif_claim(width: int, height: int) -> bytes:
    data = bytearray(SMALL["gif"])
    data[6:10] = struct.pack("<HH", width, height)
    return bytes(data)


def gif_frame_claim(width: int, height: int) -> bytes:
    return b"GIF89a\x01\0\x01\0\0\0\0,\0\0\0\0" + struct.pack("<HH", width, height) + b"\0\x02\x02D\x01\0;"


def jpeg_claim(width: int, height: int) -> bytes:
    data = encoded(noise(17, 11), "JPEG")
    at = data.index(b"\xff\xc0")
    return data[: at + 5] + struct.pack(">HH", height, width) + data[at + 9 :]


def webp_claim(width: int, height: int) -> bytes:
    sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = b"WEBPVP8X\x0a\0\0\0\0\0\0\0" + sides + SMALL["webp-lossless"][12:]
    return b"RIFF" + struct.pack("<I", len(body)) + body


def tiff_of(*entries: tuple[int, int, int, int], tail: bytes = b"") -> bytes:
    body = b"".join(struct.pack("<HHII", *entry) for entry in sorted(entries))
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + body + bytes(4) + tail


def tiff_claim(width: int, height: int) -> bytes:
    return tiff_of((256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (262, 3, 1, 1), (273, 4, 1, 8))


def tiff_tile_claim(width: int, height: int) -> bytes:
    return tiff_of(
        *((256, 3, 1, 8), (257, 3, 1, 8), (258, 3, 1, 8), (262, 3, 1, 1), (259, 3, 1, 8)),
        *((322, 4, 1, width), (323, 4, 1, height), (324, 4, 1, 8), (325, 4, 1, 8)),
    )


def ppm_claim(width: int, height: int) -> bytes:
    return b"P6\n%d %d\n255\n" % (width, height) + bytes(9)


CLAIMS: dict[str, Callable[[int, int], bytes]] = {
    "png": png,
    "jpeg": jpeg_claim,
    "gif": gif_claim,
    "gif-frame": gif_frame_claim,
    "webp": webp_claim,
    "bmp": bmp_claim,
    "bmp-upside-down": lambda width, height: bmp_claim(width, -height),
    "tiff": tiff_claim,
    "tiff-tile": tiff_tile_claim,
    "ppm": ppm_claim,
}


@pytest.mark.parametrize("kind", CLAIMS)
@pytest.mark.parametrize("size", [(30_000, 30_000), (12_000, 12_000), (16_385, 1), (1, 16_385), (5001, 5000)])
def test_a_tiny_file_that_claims_to_be_huge_is_refused_before_decoding(
    kind: str, size: tuple[int, int]
) -> None:
    data = CLAIMS[kind](*size)
    assert len(data) < 2000
    assert refusal(data).code == "EVL-IMAGE-BOMB"


@pytest.mark.parametrize("kind", CLAIMS)
def test_an_allowed_claim_without_its_samples_is_never_a_picture_of_another_size(kind: str) -> None:
    assert read_or_refused(CLAIMS[kind](40, 30)) in ((30, 40, 3), "EVL-IMAGE-BROKEN", "EVL-IMAGE-FORMAT")


def test_just_under_25_megapixels_is_read_and_just_over_refused() -> None:
    assert decode(grey_png(5000, 4980)).shape == (4980, 5000, 3)
    assert refusal(grey_png(5000, 5020)).code == "EVL-IMAGE-BOMB"


def test_a_real_picture_of_400_megapixels_is_refused_for_its_header() -> None:
    data = png(20_000, 20_000, rows=bytes(20_001 * 20_000))
    assert len(data) < 500_000
    start = time.perf_counter()
    assert refusal(data).code == "EVL-IMAGE-BOMB"
    assert time.perf_counter() - start < 0.1


def test_limits_are_the_callers() -> None:
    tight = PictureLimits(max_pixels=100)
    assert refusal(SMALL["png"], tight).code == "EVL-IMAGE-BOMB"
    assert refusal(SMALL["png"], PictureLimits(max_side=16)).code == "EVL-IMAGE-BOMB"
    assert refusal(SMALL["png"], PictureLimits(max_file_bytes=50)).code == "EVL-IMAGE-BOMB"
    with pytest.raises(ValueError, match="positive"):
        PictureLimits(max_pixels=0)


def test_a_second_png_header_that_grows_the_picture_is_refused() -> None:
    grown = chunk(b"IHDR", struct.pack(">IIBBBBB", 30_000, 30_000, 8, 0, 0, 0, 0))
    assert refusal(png(8, 8, grown)).code == "EVL-IMAGE-BOMB"


# -- what is refused for the work it would cost ------------------------------------------------


def jpeg_of_many_scans() -> bytes:
    data = encoded(noise(64, 64), "JPEG", progressive=True)
    scan = data[data.index(b"\xff\xda") : data.rindex(b"\xff\xc4")]
    return data[: data.index(b"\xff\xda")] + scan * 200 + data[data.index(b"\xff\xda") :]


def jpeg_with(segment: bytes, count: int) -> bytes:
    return SMALL["jpeg"][:2] + segment * count + SMALL["jpeg"][2:]


EXIF_SEGMENT = b"\xff\xe1\xff\xffExif\0\0" + bytes(65_527)
INFLATING = zlib.compress(bytes(2**20 - 1), 9)


def honest_png(extra: bytes) -> bytes:
    return png(8, 8, extra, rows=bytes(9 * 8))


SLOW: dict[str, Callable[[], bytes]] = {
    "png-chunks": lambda: honest_png(chunk(b"prVt", b"") * 500_000),
    "png-texts": lambda: honest_png(chunk(b"zTXt", b"\0\0" + INFLATING) * 20_000),
    "png-profiles": lambda: honest_png(chunk(b"iCCP", b"a\0\0" + INFLATING) * 20_000),
    "png-inflating-text": lambda: honest_png(chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(300 * 2**20), 9))),
    "png-inflating-itxt": lambda: png(
        8, 8, chunk(b"iTXt", b"a\0\1\0\0\0" + zlib.compress(bytes(300 * 2**20), 9))
    ),
    "jpeg-scans": jpeg_of_many_scans,
    "jpeg-comments": lambda: jpeg_with(b"\xff\xfe\0\x02", 5_000_000),
    "jpeg-padding": lambda: jpeg_with(b"\xff", 24_000_000),
    "jpeg-stray": lambda: jpeg_with(b"\xff\xfe\0\x02" + bytes(24_000_000), 1),
    "jpeg-exif": lambda: jpeg_with(EXIF_SEGMENT, 900),
    "gif-comments": lambda: SMALL["gif"][:-1] + b"!\xfe" + b"\1a" * 12_000_000 + b"\0;",
    "gif-stray": lambda: SMALL["gif"][:-1] + bytes(24_000_000),
    "gif-samples": lambda: (
        b"GIF89a\x08\0\x08\0\0\0\0,\0\0\0\0\x08\0\x08\0\0\x02" + b"\1\4" * 12_000_000 + b"\0;"
    ),
    "tiff-tags": lambda: b"II+\0\x08\0\0\0" + struct.pack("<QQ", 16, 3_000_000) + bytes(24_000_000),
    "tiff-strips": lambda: tiff_of(
        *(
            (256, 3, 1, 8),
            (257, 3, 1, 8),
            (258, 3, 1, 8),
            (262, 3, 1, 1),
            (273, 4, 15_000_000, 100),
            (278, 3, 1, 1),
        ),
        tail=bytes(60_000_100),
    ),
    "webp-chunks": lambda: b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0" + bytes(10) + b"ABCD\0\0\0\0" * 5_000_000,
    "ppm-comments": lambda: b"P3\n9 9 9\n" + b"#\n" * 12_000_000,
    "ppm-header": lambda: b"P6\n" + b"#\n" * 12_000_000 + b"9 9 255\n" + bytes(243),
    "ppm-digits": lambda: b"P5\n5000 5000\n254\n" + bytes(25_000_000),
    "bmp-runs": lambda: rle_bmp(5000, 5000),
    "png-exif": lambda: honest_png(chunk(b"eXIf", orientations(15_000_000))),
}


def rle_bmp(width: int, height: int) -> bytes:
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 0, 0, 0, 54 + 1024) + info + bytes(1024) + b"\xff\x01" * 98_040


def orientations(count: int) -> bytes:
    return b"II*\0\x08\0\0\0\x01\0" + struct.pack("<HHII", 0x0112, 4, count, 26) + bytes(4) + bytes(4 * count)


@pytest.mark.parametrize("kind", SLOW)
def test_a_file_built_to_be_slow_is_refused_in_little_time(kind: str) -> None:
    data = SLOW[kind]()
    assert len(data) <= LIMITS.max_file_bytes
    start = time.process_time()
    error = refusal(data)
    assert time.process_time() - start < 2.5, f"{time.process_time() - start:.1f} s"
    wanted = {"ppm-header": "EVL-IMAGE-FORMAT"} | dict.fromkeys(
        ("png-inflating-text", "png-inflating-itxt"), "EVL-IMAGE-BROKEN"
    )
    assert error.code == wanted.get(kind, "EVL-IMAGE-BOMB")


MEASURE = """
import sys
from pathlib import Path
from edge_runtime.errors import EdgeVLError
from edge_runtime.picture import picture_from_file
from edge_runtime.picture_limits import PictureLimits
limits = PictureLimits()
def peak_kib():
    # not getrusage: its peak is inherited from the process that started this one
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
picture_from_file(sys.argv[1], limits)  # imports and tables are not the bombs' doing
before = peak_kib()
refused = 0
for path in sys.argv[2:]:
    try:
        picture_from_file(path, limits)
    except EdgeVLError:
        refused += 1
print(refused, (peak_kib() - before) // 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_the_whole_set_of_bombs_takes_little_memory(tmp_path: Path) -> None:
    (tmp_path / "good").write_bytes(SMALL["png"])
    bombs = {**{name: claim(30_000, 30_000) for name, claim in CLAIMS.items()}}
    bombs |= {name: make() for name, make in SLOW.items()}
    for name, data in bombs.items():
        (tmp_path / name).write_bytes(data)
    paths = [str(tmp_path / name) for name in ("good", *bombs)]
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, *paths], cwd=root, capture_output=True, text=True, check=True
    )
    refused, grown_mib = map(int, done.stdout.split())
    assert refused == len(bombs)
    # one file of 64 MiB and Pillow's copies of it; decoding a single claim would take 900 MB
    assert grown_mib < 200
    assert done.stderr == ""


# -- what is refused for damage ----------------------------------------------------------------


@pytest.mark.parametrize(
    "kind", ["png", "jpeg", "jpeg-progressive", "webp", "webp-lossless", "bmp", "tiff", "tiff-lzw", "ppm"]
)
@pytest.mark.parametrize("kept", [0.05, 0.3, 0.5, 0.9])
def test_truncated_files_are_refused(kind: str, kept: float) -> None:
    data = SMALL[kind]
    refusal(data[: int(len(data) * kept)])


def test_exif_that_cannot_be_parsed_is_refused_rather_than_guessed() -> None:
    for exif in (b"garbage", b"MM\0*\0\0\0\x08\0\x09\x01\x12\0\x03", b"MM\0*\xff\xff\xff\xf0"):
        data = encoded(noise(16, 16), "JPEG", exif=b"Exif\0\0" + exif)
        assert refusal(data).code == "EVL-IMAGE-BROKEN"


def test_damage_that_pillow_only_warns_about_is_refused() -> None:
    assert refusal(png(8, 8, chunk(b"acTL", bytes(8)))).code == "EVL-IMAGE-FRAMES"
    lying = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x0f\0\x02\0\0\xff\xff\0\0\0\x1a\0\0\0\0"
    assert refusal(encoded(noise(16, 16), "PNG", exif=lying)).code == "EVL-IMAGE-BROKEN"


@settings(max_examples=200, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(
    kind=st.sampled_from(sorted(SMALL)),
    edits=st.lists(
        st.tuples(
            st.floats(0, 1, exclude_max=True),
            st.sampled_from(["flip", "set", "cut", "double"]),
            st.integers(0, 255),
        ),
        min_size=1,
        max_size=6,
    ),
)
def test_a_mutated_picture_decodes_or_is_refused_and_never_warns(
    kind: str, edits: list[tuple[float, str, int]]
) -> None:
    data = bytearray(SMALL[kind])
    for place, edit, value in edits:
        at = int(place * len(data))
        if edit == "flip":
            data[at : at + 1] = bytes([data[at] ^ (1 << value % 8)] if at < len(data) else [])
        elif edit == "set":
            data[at : at + 1] = bytes([value])
        elif edit == "cut":
            del data[at : at + value]
        else:
            data[at:at] = data[at : at + value]
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        outcome = read_or_refused(bytes(data))
    assert isinstance(outcome, tuple) or outcome in MEMBERS
    assert not warned


# -- files -------------------------------------------------------------------------------------


def test_a_file_is_read_like_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "no extension needed"
    path.write_bytes(SMALL["jpeg"])
    assert np.array_equal(np.asarray(picture_from_file(path, LIMITS)), decode(SMALL["jpeg"]))
    assert np.array_equal(np.asarray(picture_from_file(str(path), LIMITS)), decode(SMALL["jpeg"]))


def file_refusal(path: str | Path) -> EdgeVLError:
    with pytest.raises(EdgeVLError) as caught:
        picture_from_file(path, LIMITS)
    return caught.value


def test_text_named_png_is_refused_as_text(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    path.write_text("my dog\n")
    assert "plain text" in file_refusal(path).why


def test_missing_files_directories_and_impossible_names_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.png", tmp_path, "a\0b", "", "x" * 5000):
        assert file_refusal(path).code == "EVL-IMAGE-FILE"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_pipes_and_devices_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "link.png").symlink_to("/dev/zero")
    start = time.perf_counter()
    for path in (tmp_path / "pipe.png", tmp_path / "link.png", "/dev/zero", "/dev/null", "/dev/stdin"):
        assert file_refusal(path).code == "EVL-IMAGE-FILE"
    assert time.perf_counter() - start < 1


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads every file")
def test_a_file_without_permission_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "secret.png"
    path.write_bytes(SMALL["png"])
    path.chmod(0)
    assert file_refusal(path).code == "EVL-IMAGE-FILE"


def test_an_unreadable_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(SMALL["png"])

    def denied(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("edge_runtime.picture.os.open", denied)
    assert file_refusal(path).why == "permission denied"


def test_a_file_over_the_limit_is_not_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "sparse.png"
    with path.open("wb") as file:
        file.truncate(50 * 2**30)
    with pytest.raises(EdgeVLError) as caught:
        picture_from_file(path, PictureLimits(max_file_bytes=1000))
    assert caught.value.code == "EVL-IMAGE-BOMB"


# -- what it leaves behind ---------------------------------------------------------------------


def test_warning_filters_and_pillow_settings_are_as_before() -> None:
    before, pixels = list(warnings.filters), Image.MAX_IMAGE_PIXELS
    decode(SMALL["png"])
    refusal(b"nonsense")
    refusal(SMALL["png"][:60])
    assert list(warnings.filters) == before
    assert pixels == Image.MAX_IMAGE_PIXELS


def test_threads_decode_at_once_and_leave_the_filters_alone() -> None:
    before = list(warnings.filters)
    results: list[tuple[bool, tuple[int, ...] | str]] = []
    lying = encoded(
        noise(16, 16),
        "PNG",
        exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x0f\0\x02\0\0\xff\xff\0\0\0\x1a\0\0\0\0",
    )

    def work(seed: int) -> None:
        for turn in range(40):
            is_lying = (turn + seed) % 2 == 1
            results.append((is_lying, read_or_refused(lying if is_lying else SMALL["jpeg"])))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 160
    assert set(results) == {(True, "EVL-IMAGE-BROKEN"), (False, (17, 11, 3))}
    assert list(warnings.filters) == before


def test_another_modules_warnings_stay_warnings_while_pictures_decode() -> None:
    from edge_runtime.picture import _STRICTNESS

    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        with _STRICTNESS.held():
            warnings.warn("mine", UserWarning, stacklevel=1)
    assert [str(item.message) for item in warned] == ["mine"]


def resident_mib() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_refused_pictures_leave_no_memory_behind() -> None:
    broken_late = encoded(noise(1000, 1000), "PNG")[:-2000]  # refused after its 4 MB were decoded
    assert read_or_refused(broken_late) == "EVL-IMAGE-BROKEN"
    before = resident_mib()
    for _ in range(40):  # not with pytest.raises: what it catches keeps the frames of the decoder alive
        read_or_refused(broken_late)
        read_or_refused(png(30_000, 30_000))
    assert resident_mib() - before < 20


def test_no_budget_of_the_header_walk_refuses_a_full_honest_file() -> None:
    # 64 MiB of GIF samples in full blocks, and of PNG samples in Pillow's own chunks of 64 KiB
    assert LIMITS.max_file_bytes / 256 < header_module.GIF_BLOCKS
    assert LIMITS.max_file_bytes / 4096 < header_module.PNG_CHUNKS
