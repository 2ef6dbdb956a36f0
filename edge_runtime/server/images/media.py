"""Pictures in one folder of the device: `file:///name` is a name below that folder, and never leads out of it."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote_to_bytes

from edge_runtime.errors import EdgeVLError, MachineFault
from edge_runtime.picture_limits import check_length
from edge_runtime.server.images.form import unusable

FORM = "file:///folder/name.jpg"
URL = re.compile(r"file:///([A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9a-f]{2}){1,4096}", re.IGNORECASE)
PREFIX = len("file:///")
SEPARATORS = (b"/", b"\\")
MOST_PARTS = 32
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
INSIDE = os.O_NOFOLLOW
NOT_THERE = frozenset(
    (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.EINVAL)
)
FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class MediaFolder:
    """Regular files below one folder. Links are not followed, wherever they lead; the folder itself may be one."""

    def __init__(self, folder: Path, most_bytes: int) -> None:
        if not _is_folder(folder):
            raise EdgeVLError(
                "EVL-IMAGE-MEDIA",
                "the folder of pictures cannot be used",
                f"{folder} is not a folder",
                "give --media-dir a folder",
            )
        self._folder = folder.absolute()
        self._most_bytes = most_bytes

    def file(self, url: str) -> bytes:
        """One and the same refusal for what is missing, forbidden, no regular file, or outside."""
        parts = _parts_of(url)
        try:
            return self._bytes_of(parts)
        except OSError as error:
            raise _not_there() if error.errno in NOT_THERE else _not_working() from error

    def _bytes_of(self, parts: list[bytes]) -> bytes:
        with self._opened(parts) as descriptor, os.fdopen(descriptor, "rb", closefd=False) as file:
            check_length(os.fstat(descriptor).st_size, self._most_bytes)
            data = file.read(self._most_bytes + 1) or b""  # a pseudo-file may have nothing to say
        check_length(len(data), self._most_bytes)
        return data

    @contextmanager
    def _opened(self, parts: list[bytes]) -> Iterator[int]:
        """Every part is opened in the folder before it, so that no part can be exchanged for a way out."""
        try:
            descriptor = os.open(self._folder, FOLDER)
        except OSError as error:  # it was there when the server began
            raise _not_working() from error
        try:
            for part in parts[:-1]:
                inner = os.open(part, FOLDER | INSIDE, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = inner
            inner = _opened_regular(parts[-1], descriptor)
            os.close(descriptor)
            descriptor = inner
            yield descriptor
        finally:
            os.close(descriptor)


def _is_folder(path: Path) -> bool:
    """Path's own raises where it may not look, or where no name can be so long."""
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except OSError:
        return False


def _opened_regular(name: bytes, folder: int) -> int:
    """Looked at before opening, since opening some devices acts on them, and again after it: names change hands."""
    if not stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
        raise OSError(errno.EINVAL, "no regular file")
    descriptor = os.open(name, FILE, dir_fd=folder)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "no regular file any more")
    return descriptor


def _parts_of(url: str) -> list[bytes]:
    if URL.fullmatch(url) is None:
        raise unusable("a file's address has three slashes and a name; other characters are escaped", FORM)
    parts = [unquote_to_bytes(part) for part in url[PREFIX:].split("/")]
    if len(parts) > MOST_PARTS or not all(map(_is_name, parts)):
        raise unusable("a file's address names a file below the folder of pictures, part by part", FORM)
    return parts


def _is_name(part: bytes) -> bool:
    has_control = any(byte < 0x20 or byte == 0x7F for byte in part)
    return part not in (b"", b".", b"..") and not has_control and not any(s in part for s in SEPARATORS)


def _not_there() -> EdgeVLError:
    return EdgeVLError(
        "EVL-IMAGE-FILE",
        "the picture cannot be read",
        "the folder of pictures has no readable file of that name",
        "check the name, or send the picture itself as a data address",
    )


def _not_working() -> MachineFault:
    return MachineFault(
        "EVL-IMAGE-FOLDER",
        "the folder of pictures cannot be read",
        "the device refuses to open or read it, or what is in it",
        "look at the folder of --media-dir and at the limit on open files",
    )
