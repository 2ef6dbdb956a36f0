"""A TOML file of settings, and in which line each stands."""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edge_runtime.errors import EdgeVLError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

LIMIT_BYTES = 1 << 20
CODE = "EVL-CONFIG-FILE"


@dataclass(frozen=True)
class Written:
    value: object
    place: str  # the file's name, and the line where it can be told


def values_of_file(path: Path) -> Mapping[str, Written]:
    """As they stand there, whatever their names and types."""
    text = text_of_file(path)
    try:
        found = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        why = str(error) if isinstance(error, ValueError) else "it is nested too deeply"
        raise EdgeVLError(CODE, f"{path.name} is not TOML", why, "mend the line that it names") from error
    return {name: Written(value, place_of(name, text, path)) for name, value in found.items()}


def place_of(name: str, text: str, path: Path) -> str:
    stands = re.search(rf"^[ \t]*(\[+[ \t]*)?[\"']?{re.escape(name)}[\"']?[ \t]*[\].=]", text, re.MULTILINE)
    if stands is None:  # written with escapes
        return path.name
    return f"{path.name} line {text.count(chr(10), 0, stands.start()) + 1}"


def text_of_file(path: Path) -> str:
    try:
        # O_NONBLOCK: a pipe must not hang us before its kind is known
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise unreadable(path, "it is not a regular file")
            data = file.read(LIMIT_BYTES + 1)
        if len(data) > LIMIT_BYTES:
            raise unreadable(path, f"it is longer than {LIMIT_BYTES >> 10} KiB")
        return data.decode()
    except UnicodeDecodeError as error:
        raise unreadable(path, "it is not UTF-8 text") from error
    except (OSError, ValueError) as error:  # a path with a NUL is a ValueError
        why = getattr(error, "strerror", None) or "there can be no such path"
        raise unreadable(path, why) from error


def unreadable(path: Path, why: str) -> EdgeVLError:
    return EdgeVLError(CODE, f"{path} cannot be read", why, "give the path of a TOML file")
