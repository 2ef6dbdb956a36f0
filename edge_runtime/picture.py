"""Untrusted picture files and bytes in, upright 8-bit RGB pictures out."""

from __future__ import annotations

import contextlib
import io
import os
import re
import stat
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import (
    BmpImagePlugin,
    ExifTags,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from edge_runtime.errors import EdgeVLError, MachineFault
from edge_runtime.picture_cost import decoding_bytes
from edge_runtime.picture_header import PictureFormat, PictureHeader, broken, crowded
from edge_runtime.picture_limits import PictureLimits, check_size, checked_header, too_large

# Readers are called by name, not through Image.open: that would try others by their first bytes,
# warn about sizes only after opening, and turn phone photos (MPO) into two-frame pictures. The
# plain JPEG reader takes an MPO's first frame, which is the photo.
READERS: dict[PictureFormat, type[ImageFile.ImageFile]] = {
    "PNG": PngImagePlugin.PngImageFile,
    "JPEG": JpegImagePlugin.JpegImageFile,
    "WEBP": WebPImagePlugin.WebPImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "PPM": PpmImagePlugin.PpmImageFile,
}
MODES_OF_8_BITS = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")
MODES_OF_16_BITS = ("I;16", "I;16L", "I;16B", "I;16N")
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
EXIF_BYTES = 2**20  # sixteen JPEG segments; numbers in it become objects of thirty times their size
# Formats whose decoder in Pillow is a Python loop over samples: about a second for this many.
SLOW_DECODER_PIXELS = 2**20


def picture_from_file(path: str | os.PathLike[str], limits: PictureLimits) -> Image.Image:
    """As `picture_from_bytes`. Only regular files are read: pipes and devices never end, or never begin."""
    data = bytes_from_file(path, limits)
    try:
        return picture_from_bytes(data, limits)
    except EdgeVLError as error:  # of several pictures, which one
        name = os.path.basename(os.fsdecode(path))  # noqa: PTH119  (a path may be bytes)
        raise type(error)(error.code, f"{name}: {error.what}", error.why, error.fix) from error


def picture_from_bytes(data: bytes, limits: PictureLimits) -> Image.Image:
    """An upright RGB picture without metadata, or EdgeVLError; no other exception, no unbounded work.

    Orientation is applied, 16-bit samples keep their high byte, transparency is dropped (the colour
    below it stays, as in the model's own code).
    """
    header = checked_header(data, limits)
    with _refusals_named(), _STRICTNESS.held():
        return _decoded(header, data, limits)


@contextlib.contextmanager
def _refusals_named() -> Iterator[None]:
    try:
        yield
    except EdgeVLError:
        raise
    except MemoryError:
        raise MachineFault(
            "EVL-IMAGE-MEMORY",
            "there is not enough memory for the picture",
            "its size is within the limits and still did not fit",
            "close other programs or send a smaller picture",
        ) from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise too_large("Pillow's own limit on pixels is exceeded") from None
    except Exception as error:  # noqa: BLE001 - Pillow's parsers raise whatever the bytes lead them into
        raise broken(_reason(error)) from None


def picture_from_image(picture: Image.Image) -> Image.Image:
    """The same for a picture the caller has opened, and so trusts: upright, 8 bits, RGB."""
    _check_mode(picture.mode, is_pnm=False)
    with _refusals_named():
        picture.load()  # first: Pillow's TIFF reader turns the picture while it loads, and drops the tag then
        _check_mode(picture.mode, is_pnm=False)
        if min(picture.size) <= 0:
            raise broken(f"it has {picture.width} x {picture.height} pixels")
        turn = UPRIGHT.get(picture.getexif().get(ExifTags.Base.Orientation, 1))
        return _rgb(picture.copy() if turn is None else picture.transpose(turn))


def _decoded(header: PictureHeader, data: bytes, limits: PictureLimits) -> Image.Image:
    reader = READERS[header.format]
    with reader(io.BytesIO(data)) as opened:
        # our header walk and Pillow's parser may read one file differently: what it will allocate counts
        check_size(opened.size, limits)
        _check_mode(opened.mode, is_pnm=reader is PpmImagePlugin.PpmImageFile)
        if any(tile[0] in Image.DECODERS for tile in opened.tile):
            _check_slow(opened.size)
        if (need := decoding_bytes(opened, header.is_scanned_apart)) > limits.max_decoding_bytes:
            raise too_large(
                f"{opened.width} x {opened.height} pixels of its kind take {need >> 20} MiB to decode,"
                f" the limit is {limits.max_decoding_bytes >> 20}"
            )
        opened.load()
        _check_exif(opened)
        # Only the one tag is read: ImageOps.exif_transpose also writes the whole block anew and fails
        # on tags nobody needs.
        turn = UPRIGHT.get(opened.getexif().get(ExifTags.Base.Orientation, 1))
        return _rgb(opened if turn is None else opened.transpose(turn))


def _rgb(picture: Image.Image) -> Image.Image:
    if picture.mode in MODES_OF_16_BITS or picture.mode == "I":
        # The high byte, as Pillow itself takes of 16-bit colour: grey and colour copies of one
        # picture agree. Its own conversion would clip at 255.
        picture = Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
    # transparency is dropped with the rest; kept, it makes convert() warn about palettes
    picture.info.clear()
    # What is RGB already is not copied, which convert() would do: of 25 million pixels that is 100 MB for a moment.
    rgb = picture._new(picture.im) if picture.mode == "RGB" else picture.convert("RGB")
    rgb.info.clear()
    return rgb


def _check_mode(mode: str, is_pnm: bool) -> None:
    is_16_bits = mode in MODES_OF_16_BITS or (mode == "I" and is_pnm)  # elsewhere "I" is 32 bits
    if mode not in MODES_OF_8_BITS and not is_16_bits:
        raise EdgeVLError(
            "EVL-IMAGE-FORMAT",
            "the picture's samples are of an unusual kind",
            f"mode {mode} has no agreed range to bring to 8 bits",
            "save it as an 8-bit RGB PNG or JPEG",
        )


def _check_exif(opened: ImageFile.ImageFile) -> None:
    """Refuses a block that cannot be parsed: an orientation guessed wrong is a wrong answer nobody sees."""
    block = opened.info.get("exif") or opened.info.get("Raw profile type exif") or b""
    if len(block) > EXIF_BYTES:
        raise crowded(f"its Exif block is larger than {EXIF_BYTES} bytes")
    if "exif" in opened.info:
        Image.Exif().load(block)  # anew, since the JPEG reader tries once in private and keeps silent


def _check_slow(size: tuple[int, int]) -> None:
    if size[0] * size[1] > SLOW_DECODER_PIXELS:
        raise too_large(f"{size[0]} x {size[1]} pixels in an encoding read at most to {SLOW_DECODER_PIXELS}")


def _reason(error: Exception) -> str:
    """Pillow's words without object representations: they hold memory addresses."""
    words = re.sub(r"<[^>]*>?|0x[0-9a-fA-F]+", "...", str(error))
    return f"reading stopped at: {words[:160] or type(error).__name__}"


def bytes_from_file(path: str | os.PathLike[str], limits: PictureLimits) -> bytes:
    """Of a regular file, at most one more than the limits allow; an EdgeVLError for anything else, never a wait."""
    name = repr(os.fspath(path))
    try:
        # looked at before opening, since opening some devices acts on them, and again after it,
        # since the name may have changed hands; O_NONBLOCK: a pipe put there must not hang us
        if not Path(path).is_file():
            Path(path).stat()  # a missing file says so
            raise _not_readable(name, "it is not a regular file")
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise _not_readable(name, "it is not a regular file")
            data = file.read(limits.max_file_bytes + 1)
    except OSError as error:
        raise _not_readable(name, (error.strerror or type(error).__name__).lower()) from None
    except ValueError:  # a zero byte in the name
        raise _not_readable(name, "no file can have this name") from None
    if data is None:  # a non-blocking pseudo-file with nothing to say
        raise _not_readable(name, "it gave no data")
    return data


def _not_readable(name: str, why: str) -> EdgeVLError:
    return EdgeVLError(
        "EVL-IMAGE-FILE", f"cannot read the picture {name}", why, "check the path and its permissions"
    )


class _Strictness:
    """Pillow's warnings are errors while at least one thread decodes.

    Warning filters belong to the process. `warnings.catch_warnings` puts back a whole copy on
    leaving, so two threads in it can leave each other's filters behind or lose them. This adds and
    removes one entry that concerns Pillow's modules only, counted under a lock. What it cannot stop
    is another library's catch_warnings hiding the entry for a while: so no limit on size or work
    depends on it, only whether slightly damaged metadata is refused.
    """

    MODULES = r"PIL\.(?#edge-vl)"  # the comment tells our entry from anybody's
    ENTRY = ("error", None, Warning, re.compile(MODULES), 0)

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._holders = 0

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        with self._lock:
            self._holders += 1
            warnings.filterwarnings("error", module=self.MODULES)
        try:
            yield
        finally:
            with self._lock:
                self._holders -= 1
                filters: list[object] = warnings.filters  # type: ignore[assignment]
                if not self._holders and self.ENTRY in filters:
                    filters.remove(self.ENTRY)


_STRICTNESS = _Strictness()  # one for the process, as the filters it guards are
