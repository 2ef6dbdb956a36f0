"""One object of a configuration file that somebody else wrote, read with types and bounds."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, TypeGuard, TypeVar

from edge_runtime.errors import EdgeVLError
from edge_runtime.spec import Channels

BROKEN_JSON = "EVL-CHECKPOINT-JSON"
WRONG_VALUE = "EVL-CHECKPOINT-CONFIG"
LARGEST_INTEGER = 2**31 - 1
CONTAINER_LIMIT = 1_000_000  # 16 MiB of "[]," would otherwise cost 400 MiB of Python lists

Choice = TypeVar("Choice", bound=str | int | float | bool)


@dataclass(frozen=True)
class Section:
    """Typed reads of a JSON object. Null counts as absent; a wrong value is an EdgeVLError that says where."""

    where: str  # "config.json: vision_config.params"
    values: Mapping[str, object]

    def has(self, key: str) -> bool:
        return self.values.get(key) is not None

    def refuse(self, key: str, wanted: str, fix: str = "use the checkpoint as published") -> NoReturn:
        got = f"is {self.values[key]!r:.80}" if key in self.values else "is absent"
        raise EdgeVLError(WRONG_VALUE, f"{self.where}: {key} {got}", f"wanted {wanted}", fix)

    def section(self, key: str) -> Section:
        """The object under `key`, or an empty one where it is absent."""
        value = self.values.get(key)
        separator = "." if ": " in self.where else ": "
        where = f"{self.where}{separator}{key}"
        if value is None:
            return Section(where, {})
        if not isinstance(value, dict):
            self.refuse(key, "an object")
        return Section(where, value)

    def integer(
        self, key: str, default: int | None = None, lowest: int = 1, highest: int = LARGEST_INTEGER
    ) -> int:
        value = self.values[key] if self.has(key) else default
        if not isinstance(value, int) or isinstance(value, bool) or not lowest <= value <= highest:
            self.refuse(key, f"a whole number from {lowest} to {highest}")
        return value

    def number(self, key: str, default: float | None = None) -> float:
        """A finite, positive number."""
        value = self.values[key] if self.has(key) else default
        if not is_number(value) or float(value) <= 0:
            self.refuse(key, "a positive number")
        return float(value)

    def flag(self, key: str, default: bool) -> bool:
        value = self.values[key] if self.has(key) else default
        if not isinstance(value, bool):
            self.refuse(key, "true or false")
        return value

    def text(self, key: str, default: str | None = None) -> str:
        value = self.values[key] if self.has(key) else default
        if not isinstance(value, str) or not value:
            self.refuse(key, "a text")
        if any("\ud800" <= letter <= "\udfff" for letter in value):
            self.refuse(key, "a text in valid Unicode, without half a surrogate pair")
        return value

    def choice(self, key: str, allowed: tuple[Choice, ...], default: Choice) -> Choice:
        """One of the values this release supports; anything else is refused by name."""
        value = self.values[key] if self.has(key) else default
        for option in allowed:
            # `True == 1` in Python, so the type is compared too; a JSON 1 may stand for 1.0.
            if value == option and isinstance(value, bool) == isinstance(option, bool):
                return option
        return self.refuse(
            key, " or ".join(repr(option) for option in allowed), "edge-vl supports no other value here"
        )

    def integers(self, key: str, default: tuple[int, ...]) -> tuple[int, ...]:
        value = self.values[key] if self.has(key) else list(default)
        if not isinstance(value, list) or len(value) > 4096:
            self.refuse(key, "a list of whole numbers")
        for item in value:
            if not isinstance(item, int) or isinstance(item, bool) or not 0 <= item <= LARGEST_INTEGER:
                self.refuse(key, "a list of whole numbers")
        return tuple(value)

    def side(self, key: str, default: int) -> int:
        """A square's side, written as a number, a pair or {"height", "width"}."""
        value = self.values.get(key)
        if isinstance(value, dict):
            value = [value.get("height"), value.get("width")]
        if isinstance(value, list):
            if len(value) != 2 or value[0] != value[1]:
                self.refuse(key, "a square size")
            value = value[0]
        return Section(self.where, {key: value}).integer(key, default, highest=65536)

    def channels(self, key: str, default: Channels) -> Channels:
        """Three finite numbers, one per colour; a single number stands for all three."""
        value = self.values[key] if self.has(key) else list(default)
        if is_number(value):
            value = [value] * 3
        if (
            not isinstance(value, list | tuple)
            or len(value) != 3
            or not all(is_number(item) for item in value)
        ):
            self.refuse(key, "three numbers")
        red, green, blue = (float(item) for item in value)
        return red, green, blue


def is_number(value: object) -> TypeGuard[int | float]:
    """Finite, and small enough for a float: JSON knows no bounds, and Python's reader accepts NaN."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) < 1e30


def section_from_file(path: Path, limit_bytes: int) -> Section:
    """Reads a JSON object from a file of at most `limit_bytes`."""
    fix = "copy the file again from where the checkpoint was published"
    text = text_from_file(path, limit_bytes)
    try:
        if text.count("[") + text.count("{") > CONTAINER_LIMIT:
            raise ValueError(f"more than {CONTAINER_LIMIT} lists and objects")
        value = json.loads(text, object_pairs_hook=unique_keys)
    except (ValueError, RecursionError) as error:
        # ValueError also covers an integer too long for Python and a key that comes twice.
        raise EdgeVLError(BROKEN_JSON, f"{path.name} is not valid JSON", str(error), fix) from error
    if not isinstance(value, dict):
        why = f"its top level is a {type(value).__name__}, wanted an object"
        raise EdgeVLError(BROKEN_JSON, f"{path.name} is not a JSON object", why, fix)
    return Section(path.name, value)


def text_from_file(path: Path, limit_bytes: int) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(limit_bytes + 1)
    except OSError as error:
        raise unreadable(path, error) from error
    if len(content) > limit_bytes:
        why = f"it holds more than the {limit_bytes >> 20} MiB allowed"
        raise EdgeVLError(BROKEN_JSON, f"{path.name} is too large", why, "use the checkpoint as published")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise EdgeVLError(BROKEN_JSON, f"{path.name} is not UTF-8", str(error), "save it as UTF-8") from error


def unreadable(path: Path, error: OSError) -> EdgeVLError:
    why = error.strerror or type(error).__name__
    return EdgeVLError(
        "EVL-CHECKPOINT-READ", f"cannot read {path.name}", why, "check its permissions and the disk"
    )


def unique_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    values = dict(pairs)
    if len(values) != len(pairs):
        counts = Counter(key for key, _ in pairs)
        twice = next(key for key, count in counts.items() if count > 1)
        raise ValueError(f"the key {twice!r:.80} comes twice in one object")
    return values
