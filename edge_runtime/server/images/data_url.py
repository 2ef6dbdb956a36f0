"""Pictures that stand in the request itself: `data:` addresses of RFC 2397, base64 only and read strictly."""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator

from edge_runtime.errors import EdgeVLError
from edge_runtime.picture_limits import check_length
from edge_runtime.server.images.form import DATA_FORM, unusable

HEAD_CHARACTERS = 256  # up to the comma; honest ones have about thirty
CHUNK_CHARACTERS = 2**18  # of four: decoded one after another, so that other threads get their turn
TOKEN = r"[a-z0-9!#$&.+^_-]+"
HEAD = re.compile(
    rf"data:(?P<kind>{TOKEN}/{TOKEN}|)(?:;{TOKEN}=[a-z0-9!#$&.+^_%'-]+)*(?P<base64>;base64)?", re.IGNORECASE
)
BASE64, STRANGE = re.compile(r"[A-Za-z0-9+/]*"), re.compile(r"[^A-Za-z0-9+/=]")
NOT_BASE64 = "its base64 holds other characters than A-Z, a-z, 0-9, + and /, such as blanks or line breaks"
PADDED = "its base64 goes on behind its padding: = stands at the end, and twice at most"
ESCAPES = (("%2B", "+"), ("%2b", "+"), ("%2F", "/"), ("%2f", "/"), ("%3D", "="), ("%3d", "="))
# what the bytes are decides in the end; a kind outside this list only says sooner that it will not do
KINDS = frozenset(
    f"image/{name}"
    for name in "png jpeg jpg webp bmp x-ms-bmp gif tiff x-portable-anymap x-portable-bitmap x-portable-graymap "
    "x-portable-pixmap".split()
)


def file_from_data_url(url: str, most_bytes: int) -> bytes:
    """The file's bytes, not looked at. Spaces, line breaks, the alphabet of web-safe base64, missing padding and escapes
    other than those of `+`, `/` and `=` are refused."""
    comma = url.find(",", 0, HEAD_CHARACTERS)
    if comma < 0:
        raise unusable("a data address has a comma before the data, after its kind")
    _check_head(url[:comma])
    start = comma + 1
    if "%" in url:
        url, start = _unescaped(url[start:]), 0
    return _decoded(url, start, most_bytes)


def _check_head(head: str) -> None:
    found = HEAD.fullmatch(head)
    if found is None:
        raise unusable("what stands before the comma of the data address has not its form")
    if (kind := found["kind"].lower()) not in KINDS:
        given = "another kind" if kind else "no kind"
        raise EdgeVLError(
            "EVL-IMAGE-FORMAT",
            "this is not a picture that can be read",
            f"the data address declares {given} of data",
            f"convert it to PNG or JPEG and send it as {DATA_FORM}",
        )
    if found["base64"] is None:
        raise unusable("a picture in a data address is in base64, and says so before the comma")


def _unescaped(text: str) -> str:
    """Some clients escape the three characters of base64 that have a meaning in addresses."""
    for escape, character in ESCAPES:
        text = text.replace(escape, character)
    return text


def _decoded(text: str, start: int, most_bytes: int) -> bytes:
    length = len(text) - start
    if length % 4:
        if STRANGE.search(text, start, start + CHUNK_CHARACTERS):  # lines are shorter than the first chunk
            raise unusable(NOT_BASE64)
        raise unusable(
            "its base64 is cut short or lacks its padding: there are four characters for three bytes"
        )
    padding = 2 if length and text.endswith("==") else int(text.endswith("="))
    check_length(length // 4 * 3 - padding, most_bytes)
    return b"".join(_chunks(text, start, len(text) - padding))


def _chunks(text: str, start: int, end: int) -> Iterator[bytes]:
    """`end` is where the padding begins, which only the last chunk may have."""
    for at in range(start, len(text), CHUNK_CHARACTERS):
        stop = min(at + CHUNK_CHARACTERS, end)
        if BASE64.fullmatch(text, at, stop) is None:
            raise unusable(NOT_BASE64 if STRANGE.search(text, at, stop) else PADDED)
        yield binascii.a2b_base64(text[at : at + CHUNK_CHARACTERS])
