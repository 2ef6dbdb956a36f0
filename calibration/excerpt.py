"""A report whose lists are no longer than there is room for: what is left out is counted."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from typing import Any

LISTS: Mapping[str, tuple[str, ...]] = {
    "samples": ("names", "broken"),
    "accuracy": ("tasks", "changed", "broken", "repeated"),
}  # how long they get depends on what the user gives; besides them, the answers that are compared
ANSWERS = "answers"
SHORT_BYTES = 32 << 10  # of a list; there is always room for that
LIST_BYTES = (1 << 20, SHORT_BYTES, 0)  # tried in this order where the size of a bundle has a budget
EXCERPTS = 1 + sum(map(len, LISTS.values()))
ENTRY_BYTES = 256  # of the page's and the file's own marks around an entry
LEFT_OUT = "left_out"


def excerpt_of(report: Mapping[str, Any], list_bytes: int) -> dict[str, Any]:
    """The report, with texts that UTF-8 can hold. Each list takes at most so much of the file and the page together."""
    found: dict[str, Any] = {name: plain(each) for name, each in report.items()}
    for section, names in LISTS.items():
        if section in found:
            found[section] = shortened(found[section], names, list_bytes)
    return shortened(found, (ANSWERS,), list_bytes)


def shortened(section: Mapping[str, Any], names: Sequence[str], list_bytes: int) -> dict[str, Any]:
    """`left_out` is there where something is, and counts it by the name of the list."""
    kept = {name: fitting(section[name], list_bytes) for name in names if name in section}
    counts = {name: len(section[name]) - len(each) for name, each in kept.items()}
    left_out = {name: count for name, count in counts.items() if count}
    return {**section, **kept, **({LEFT_OUT: left_out} if left_out else {})}


def fitting(entries: Sequence[object], list_bytes: int) -> list[object]:
    """The first so many, but for entries that are longer than what is left."""
    found, left = list[object](), list_bytes
    for entry in entries:
        size = bytes_of(entry)
        if size <= left:
            found.append(entry)
            left -= size
    return found


def bytes_of(entry: object) -> int:
    """In the file and on the page, at most."""
    text = json.dumps(entry, indent=4, ensure_ascii=False)
    return len(text.encode()) + len(html.escape(text).encode()) + ENTRY_BYTES


def plain(value: Any) -> Any:
    """Names of files may be bytes that are no text."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, Mapping):
        return {plain(name): plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    return value
