"""What a value of `edge-vl serve` may be: what a text or a TOML value is taken for, and which values are right."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

Value = bool | int | float | str | Path | tuple[str, ...] | None
T = TypeVar("T")
KIND, HELP = "kind", "help"
# One day: no deadline of a server means anything beyond it, and nothing overflows below it.
LONGEST_S = 86_400.0
MOST = 1 << 40
SWITCHES = {"true": True, "on": True, "1": True, "yes": True, "false": False, "off": False, "0": False, "no": False}  # fmt: skip
HOST_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9_])?|\[?[0-9A-Fa-f:.]{2,45}\]?")
ORIGIN = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+)(:[0-9]{1,5})?")


@dataclass(frozen=True)
class Kind:
    """`of_text` reads a flag or a variable, `of_toml` a value of the file; both raise ValueError. `wanted` says in words
    what `is_right` holds for."""

    wanted: str
    metavar: str
    of_text: Callable[[str], Value]
    of_toml: Callable[[object], Value]
    is_right: Callable[[Value], bool]


def setting(default: T, kind: Kind, help_text: str) -> T:
    """A field of a dataclass, for its default; the rest is found in the field's metadata."""
    made: Any = field(default=default, metadata=told(kind, help_text))
    return made  # type: ignore[no-any-return]


def told(kind: Kind, help_text: str) -> Mapping[str, object]:
    return {KIND: kind, HELP: help_text}


def kind_of(known: Field[Any]) -> Kind:
    found: Kind = known.metadata[KIND]
    return found


def count(least: int = 1, most: int = MOST) -> Kind:
    wanted = f"a whole number from {least} to {most}"

    def is_right(value: Value) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most

    return Kind(wanted, "N", whole, plain, is_right)


def seconds(can_be_zero: bool = False) -> Kind:
    wanted = f"a number of seconds {'from' if can_be_zero else 'above'} 0 to {LONGEST_S:.0f}"

    def is_right(value: Value) -> bool:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            return False
        return (0 if can_be_zero else 1e-3) <= value <= LONGEST_S

    return Kind(wanted, "SECONDS", float, plain, is_right)


def one_of(*words: str) -> Kind:
    return Kind(" or ".join(words), "|".join(words), str, plain, lambda value: value in words)


def words_like(pattern: re.Pattern[str], wanted: str, metavar: str) -> Kind:
    def is_right(value: Value) -> bool:
        return isinstance(value, tuple) and all(pattern.fullmatch(word) for word in value)

    return Kind(wanted, f"{metavar},...", listed, words_of_toml, is_right)


def whole(text: str) -> int:
    if len(text) > 20:  # int() of a long text is slow, and then refuses in words of its own
        raise ValueError("too long")
    return int(text)


def switch(text: str) -> bool:
    if text.lower() not in SWITCHES:
        raise ValueError("neither true nor false")
    return SWITCHES[text.lower()]


def listed(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",")) if text.strip() else ()


def words_of_toml(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise ValueError("not a list of texts")
    return tuple(value)


def plain(value: object) -> Value:
    if not isinstance(value, (bool, int, float, str)):
        raise ValueError("not a plain value")
    return value


def path(value: object) -> Path:
    if not isinstance(value, str) or not value:  # Path takes an empty text for the current folder
        raise ValueError("not a path")
    return Path(value)


def is_path(value: Value) -> bool:
    return isinstance(value, Path) and "\0" not in str(value)


PORT = count(0, 65535)
COUNT = count()
PATH = Kind("a path", "PATH", path, path, is_path)
FILE = Kind("a path", "FILE", path, path, is_path)
FOLDER = Kind("a path", "DIR", path, path, is_path)
NAME = Kind(
    "a name", "NAME", str, plain, lambda value: isinstance(value, str) and value.isprintable() and value != ""
)
SWITCH = Kind("true or false", "", switch, plain, lambda value: isinstance(value, bool))
HOSTS = words_like(HOST_NAME, "a list of host names, without ports", "HOST")
ORIGINS = words_like(
    ORIGIN, "a list of origins like https://panel.example, without paths or wildcards", "ORIGIN"
)
