"""Where a picture can come from: a path, a file's bytes, or a picture that is open already."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from PIL import Image

from edge_runtime.errors import EdgeVLError
from edge_runtime.picture import picture_from_bytes, picture_from_file, picture_from_image
from edge_runtime.picture_limits import PictureLimits

ImageSource = str | Path | bytes | bytearray | memoryview | Image.Image
Images = ImageSource | Iterable[ImageSource] | None


def sources_of(image: Images) -> list[ImageSource]:
    if image is None:
        return []
    if isinstance(image, str | Path | bytes | bytearray | memoryview | Image.Image):
        return [image]
    if isinstance(image, Iterable) and not hasattr(image, "read"):  # a file is no list: of lines
        return list(image)
    raise unknown_source(image)


def picture_from_source(source: ImageSource, limits: PictureLimits) -> Image.Image:
    if isinstance(source, bytes | bytearray | memoryview):
        return picture_from_bytes(bytes(source), limits)
    if isinstance(source, Image.Image):
        return picture_from_image(source)
    if isinstance(source, str | Path):
        return picture_from_file(source, limits)
    raise unknown_source(source)


def unknown_source(source: object) -> EdgeVLError:
    return EdgeVLError(
        "EVL-IMAGE-SOURCE",
        "this is no picture",
        f"got {type(source).__name__}, wanted a path, a file's bytes or a PIL image",
        "pass an array as PIL.Image.fromarray(array), an open file as file.read()",
    )
