"""The file that API keys come from: read only where nobody else can read it."""

from __future__ import annotations

import errno
import os
import stat
import struct
from pathlib import Path

from edge_runtime.errors import EdgeVLError

MAX_BYTES = 1 << 18
ACCESS_LIST = "system.posix_acl_access"
USER, GROUP_OF_FILE, GROUP = 0x02, 0x04, 0x08  # kinds of entries in an access list, <linux/posix_acl.h>


def lines_of_key_file(path: str | Path) -> list[str]:
    """EVL-KEY-FILE where it cannot be read, EVL-KEY-FILE-MODE where others can."""
    try:
        # A pipe without a writer would be waited for.
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as fault:
        raise unusable(fault.strerror or "it cannot be opened") from fault
    try:
        check_mode(handle)
        read = os.read(handle, MAX_BYTES + 1)
    except OSError as fault:
        raise unusable(fault.strerror or "it cannot be read") from fault
    finally:
        os.close(handle)
    if len(read) > MAX_BYTES:
        raise unusable(f"it is larger than {MAX_BYTES >> 10} KiB")
    try:
        return read.decode("ascii").splitlines()
    except UnicodeDecodeError as fault:
        raise unusable(f"byte {fault.start} is not ASCII") from None


def check_mode(handle: int) -> None:
    found = os.fstat(handle)
    if not stat.S_ISREG(found.st_mode):
        raise unusable("it is not a regular file")
    if found.st_uid not in (0, os.geteuid()):
        raise readable("it belongs to another user", "chown it to the user that runs the server")
    if is_open_to_others(handle, found.st_mode):
        mode = stat.S_IMODE(found.st_mode)
        raise readable(f"its mode is {mode:04o}, so other users may use it", "chmod 600 it")


def is_open_to_others(handle: int, mode: int) -> bool:
    """With an access list the group's bits are its mask, the most that any entry gives: systemd hands a credential to a
    service that way, readable by its user alone."""
    if mode & 0o007:
        return True
    if not mode & 0o070:
        return False
    entries = access_list(handle)
    if entries is None:
        return True
    mine = os.geteuid()
    return any(
        permitted and (tag in (GROUP_OF_FILE, GROUP) or (tag == USER and owner != mine))
        for tag, permitted, owner in entries
    )


def access_list(handle: int) -> list[tuple[int, int, int]] | None:
    """Kind, permissions and owner of each entry; None where the file has no such list."""
    if not hasattr(os, "getxattr"):
        return None
    try:
        raw = os.getxattr(handle, ACCESS_LIST)
    except OSError as fault:
        if fault.errno in (errno.ENODATA, errno.ENOTSUP):
            return None
        raise unusable(fault.strerror or "its access list cannot be read") from fault
    return list(struct.iter_unpack("<HHI", raw[4:]))


def unusable(why: str) -> EdgeVLError:
    return EdgeVLError("EVL-KEY-FILE", "the key file cannot be used", why, "check --api-key-file")


def readable(why: str, fix: str) -> EdgeVLError:
    return EdgeVLError("EVL-KEY-FILE-MODE", "the key file is not this server's alone", why, fix)
