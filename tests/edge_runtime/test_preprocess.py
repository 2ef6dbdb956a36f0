"""The rule is stated a second time here, in torch and plain loops, and the two are compared."""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from edge_runtime.picture import picture_from_bytes
from edge_runtime.picture_limits import PictureLimits
from edge_runtime.preprocess import Pixels, canvas_from_picture, pixels_from_picture
from edge_runtime.spec import PixelSpec, PreprocessSpec

pytest.importorskip("torch", reason="torch is the second statement of the float rule")
import torch

HALF = (0.5, 0.5, 0.5)
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
PLAIN = PreprocessSpec(low=PixelSpec(384, HALF, HALF), high=None, background=(127, 127, 127), min_side=14)
HYBRID = PreprocessSpec(
    low=PixelSpec(384, HALF, HALF),
    high=PixelSpec(1024, CLIP_MEAN, CLIP_STD),
    background=(122, 116, 104),
    min_side=14,
)
SIZES = [(1, 1), (1, 4000), (4000, 1), (301, 811), (811, 301), (1000, 10), (10, 1000), (384, 384)]
SIZES += [(640, 480), (1920, 1080), (383, 385), (1024, 1024), (3, 2)]
Floats = npt.NDArray[np.float32]


def noise(size: tuple[int, int], mode: str = "RGB") -> Image.Image:
    width, height = size
    values = np.random.default_rng(width * 7919 + height).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(values).convert(mode)


def restated_canvas(
    picture: Image.Image, side: int, background: tuple[int, int, int]
) -> npt.NDArray[np.uint8]:
    """Bicubic to the truncated size, then placed row by row; Pillow only for the filter."""
    width, height = picture.size
    max_size = max(width, height)
    new_height = max(int(height / max_size * side), 14)
    new_width = max(int(width / max_size * side), 14)
    resized = np.asarray(picture.resize((new_width, new_height), resample=Image.Resampling.BICUBIC))
    square = np.empty((side, side, 3), np.uint8)
    square[:, :] = background
    if new_width > new_height:
        first = (new_width - new_height) // 2
        square[first : first + new_height, :] = resized
    else:
        first = (new_height - new_width) // 2
        square[:, first : first + new_width] = resized
    return square


def restated_pixels(square: npt.NDArray[np.uint8], spec: PreprocessSpec) -> Pixels:
    """The original's order of work: times 1/255 in double, rounded to float32, then each tower's part."""
    planes = square.transpose(2, 0, 1)
    unit = torch.from_numpy((planes * (1 / 255)).astype(np.float32, order="C"))

    def normalised(x: torch.Tensor, pixels: PixelSpec) -> Floats:
        mean, std = (torch.tensor(v, dtype=torch.float32).view(3, 1, 1) for v in (pixels.mean, pixels.std))
        done: Floats = x.sub(mean).div(std).numpy()
        return done

    if spec.high is None:
        return Pixels(high=None, low=normalised(unit, spec.low))
    side = (spec.low.size, spec.low.size)
    # in double, since torch's float32 filter weights are themselves 1e-5 off at this scale
    low = torch.nn.functional.interpolate(
        unit.double()[None], size=side, mode="bilinear", antialias=True, align_corners=False
    )[0].float()
    return Pixels(high=normalised(unit, spec.high), low=normalised(low, spec.low))


@pytest.mark.parametrize("spec", [PLAIN, HYBRID], ids=["plain", "hybrid"])
@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_the_canvas_of_a_canvas_is_itself(size: tuple[int, int], spec: PreprocessSpec) -> None:
    picture = noise(size)
    canvas = canvas_from_picture(picture, spec)
    assert canvas_from_picture(canvas, spec).tobytes() == canvas.tobytes()


@pytest.mark.parametrize("spec", [PLAIN, HYBRID], ids=["plain", "hybrid"])
@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_the_canvas_equals_the_restated_rule_byte_for_byte(
    size: tuple[int, int], spec: PreprocessSpec
) -> None:
    picture = noise(size)
    ours = np.asarray(canvas_from_picture(picture, spec))
    assert np.array_equal(ours, restated_canvas(picture, spec.canvas, spec.background))


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_plain_pixels_equal_the_restated_rule_bit_for_bit(size: tuple[int, int]) -> None:
    picture = noise(size)
    wanted = restated_pixels(restated_canvas(picture, 384, PLAIN.background), PLAIN)
    ours = pixels_from_picture(picture, PLAIN)
    assert ours.high is None
    assert np.array_equal(ours.low, wanted.low)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_hybrid_pixels_equal_the_restated_rule(size: tuple[int, int]) -> None:
    picture = noise(size)
    wanted = restated_pixels(restated_canvas(picture, 1024, HYBRID.background), HYBRID)
    ours = pixels_from_picture(picture, HYBRID)
    assert ours.high is not None
    assert wanted.high is not None
    assert np.array_equal(ours.high, wanted.high)
    difference = np.abs(ours.low - wanted.low)
    assert difference.max() <= 1e-6, f"max {difference.max():.2e}, mean {difference.mean():.2e}"


@pytest.mark.parametrize(("high", "low"), [(1024, 384), (64, 24), (96, 96), (32, 48), (50, 33)])
def test_the_float_resize_equals_torch_in_its_own_float32_within_its_error(high: int, low: int) -> None:
    spec = replace(
        HYBRID, high=PixelSpec(high, (0.0,) * 3, (1.0,) * 3), low=PixelSpec(low, (0.0,) * 3, (1.0,) * 3)
    )
    pixels = pixels_from_picture(noise((high, high)), spec)
    assert pixels.high is not None
    theirs = torch.nn.functional.interpolate(
        torch.from_numpy(pixels.high)[None],
        size=(low, low),
        mode="bilinear",
        antialias=True,
        align_corners=False,
    )[0].numpy()
    assert np.abs(pixels.low - theirs).max() <= 2e-5


def test_the_low_picture_is_not_rounded_to_bytes_on_the_way() -> None:
    spec = replace(HYBRID, low=PixelSpec(384, (0.0,) * 3, (1.0,) * 3))
    steps = pixels_from_picture(noise((700, 900)), spec).low * 255
    assert np.abs(steps - steps.round()).mean() > 0.1


@pytest.mark.parametrize(
    ("size", "side", "wanted"),
    [((301, 811), 384, (142, 384)), ((1000, 10), 384, (384, 14)), ((10, 1000), 1024, (14, 1024))],
)
def test_known_sizes_of_the_fact_sheet_hold(
    size: tuple[int, int], side: int, wanted: tuple[int, int]
) -> None:
    spec = PreprocessSpec(PixelSpec(side, HALF, HALF), None, (255, 0, 0), 14)
    canvas = np.asarray(canvas_from_picture(Image.new("RGB", size, (0, 0, 255)), spec))
    inside = (canvas == (0, 0, 255)).all(axis=2)
    assert (int(inside.any(axis=0).sum()), int(inside.any(axis=1).sum())) == wanted
    columns = np.flatnonzero(inside.any(axis=0))
    assert columns[0] == (side - wanted[0]) // 2  # an odd remainder goes to the right


def test_each_channel_keeps_its_place_and_normalisation() -> None:
    pixels = pixels_from_picture(Image.new("RGB", (50, 50), (255, 0, 51)), HYBRID)
    assert pixels.high is not None
    wanted = [(v - m) / s for v, m, s in zip((1.0, 0.0, 0.2), CLIP_MEAN, CLIP_STD, strict=True)]
    assert pixels.high[:, 500, 500] == pytest.approx(wanted, abs=1e-6)
    assert pixels.low[:, 100, 100] == pytest.approx([1.0, -1.0, -0.6], abs=1e-6)


def test_planes_are_contiguous_float32_of_the_right_shape() -> None:
    pixels = pixels_from_picture(noise((60, 40)), HYBRID)
    assert pixels.high is not None
    for planes, side in ((pixels.high, 1024), (pixels.low, 384)):
        assert planes.shape == (3, side, side)
        assert planes.dtype == np.float32
        assert planes.flags.c_contiguous
        assert planes.flags.writeable


def test_the_picture_given_is_not_changed() -> None:
    picture = noise((384, 384))
    before = picture.tobytes()
    pixels_from_picture(picture, PLAIN)
    assert picture.tobytes() == before


def encoded(picture: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def palette_with_transparency() -> bytes:
    picture = noise((90, 70)).quantize(64)
    return encoded(picture, "PNG", transparency=bytes(range(64)))


def la_picture() -> bytes:
    picture = noise((90, 70), "L")
    picture.putalpha(noise((70, 90), "L").resize((90, 70)))
    return encoded(picture, "PNG")


def rgba_picture() -> bytes:
    picture = noise((90, 70))
    picture.putalpha(noise((90, 70), "L"))
    return encoded(picture, "PNG")


ENCODED: dict[str, Callable[[], bytes]] = {
    "rgba": rgba_picture,
    "palette": palette_with_transparency,
    "la": la_picture,
    "1-bit": lambda: encoded(noise((90, 70), "1"), "PNG"),
    "cmyk-jpeg": lambda: encoded(noise((90, 70), "CMYK"), "JPEG"),
    "progressive-jpeg": lambda: encoded(noise((90, 70)), "JPEG", progressive=True),
    "grey-jpeg": lambda: encoded(noise((90, 70), "L"), "JPEG"),
    "gif": lambda: encoded(noise((90, 70)), "GIF"),
    "webp": lambda: encoded(noise((90, 70)), "WEBP"),
    "webp-rgba": lambda: encoded(noise((90, 70), "RGBA"), "WEBP", lossless=True),
    "tiff-lzw": lambda: encoded(noise((90, 70)), "TIFF", compression="tiff_lzw"),
    "bmp": lambda: encoded(noise((90, 70)), "BMP"),
    "ppm": lambda: encoded(noise((90, 70)), "PPM"),
}


@pytest.mark.filterwarnings("ignore:Palette images with Transparency")  # the original lets Pillow warn
@pytest.mark.parametrize("kind", ENCODED)
def test_every_kind_of_file_gives_the_pixels_of_the_original_loader(kind: str) -> None:
    data = ENCODED[kind]()
    with Image.open(io.BytesIO(data)) as opened:  # the original: open, convert("RGB")
        square = restated_canvas(opened.convert("RGB"), 384, PLAIN.background)
    ours = pixels_from_picture(picture_from_bytes(data, PictureLimits()), PLAIN)
    assert np.array_equal(ours.low, restated_pixels(square, PLAIN).low)


@pytest.mark.skipif(importlib.util.find_spec("transformers") is None, reason="transformers is not installed")
@pytest.mark.parametrize("size", [(1, 1), (1, 4000), (1000, 10), (384, 384), (640, 480), (1920, 1080)])
def test_pixels_equal_transformers_bit_for_bit_where_rounding_and_truncating_agree(
    size: tuple[int, int],
) -> None:
    from transformers.models.deepseek_vl.image_processing_pil_deepseek_vl import DeepseekVLImageProcessorPil

    width, height = size
    for side in (width, height):
        exact = side / max(size) * 384
        assert max(int(exact), 14) == max(round(side * (384 / max(size))), 14), "not a size to compare"
    processor = DeepseekVLImageProcessorPil(image_mean=[0.5] * 3, image_std=[0.5] * 3)
    theirs = np.asarray(processor(noise(size), return_tensors="np")["pixel_values"][0])
    assert np.array_equal(pixels_from_picture(noise(size), PLAIN).low, theirs)


def test_a_picture_from_disk_passes_the_whole_way(tmp_path: Path) -> None:
    from edge_runtime.picture import picture_from_file

    file = tmp_path / "photo.jpg"
    file.write_bytes(encoded(noise((120, 80)), "JPEG"))
    assert pixels_from_picture(picture_from_file(file, PictureLimits()), PLAIN).low.shape == (3, 384, 384)
