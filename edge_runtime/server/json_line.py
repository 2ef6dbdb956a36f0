"""A log record as one line of JSON: only what is known to hold nothing of a question or an answer."""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import PurePath
from typing import Protocol, runtime_checkable

from edge_runtime.errors import EdgeVLError, one_line

FIELDS = (
    "request_id",
    "method",
    "route",
    "status",
    "ms",
    "client",
    "has_left",
    "prompt_tokens",
    "image_tokens",
    "cached_tokens",
    "completion_tokens",
    "finish_reason",
    "code",
    "message",  # a sentence of ours
    "suppressed",
)
CONTENT = "content"
LONGEST, LONGEST_CONTENT, MOST_CONTENT = 600, 4000, 200  # characters of a text, things in a list
FRAMES = 12


@runtime_checkable
class Content(Protocol):
    """Of a question and its answer, put together only where it is written down."""

    def told(self) -> object: ...


class JsonLine(logging.Formatter):
    """`is_content` writes the field `content` and the words of foreign errors too."""

    def __init__(self, is_content: bool = False) -> None:
        super().__init__()
        self._is_content = is_content

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, timezone.utc)
        line: dict[str, object] = {
            "ts": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
        }
        line |= self._told(record)
        if record.exc_info and record.exc_info[1] is not None:
            line |= self._fault(record.exc_info[1])
        return json.dumps(line)

    def _told(self, record: logging.LogRecord) -> dict[str, object]:
        fields = fields_of(record)
        chosen = {name: plain(fields[name]) for name in FIELDS if fields.get(name) is not None}
        if self._is_content and (content := fields.get(CONTENT)) is not None:
            chosen[CONTENT] = cut(content.told() if isinstance(content, Content) else content)
        if hasattr(record, "fields") and record.msg == record.getMessage():
            return {"event": record.msg} | chosen
        message = one_line(record.getMessage(), LONGEST)
        return {"event": "log", "logger": record.name, "message": message} | chosen

    def _fault(self, error: BaseException) -> dict[str, object]:
        """A foreign error's words may quote a question; ours never do."""
        frames = traceback.extract_tb(error.__traceback__)[-FRAMES:]
        places = [f"{PurePath(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames]
        told: dict[str, object] = {"fault": type(error).__name__, "at": places}
        if isinstance(error, EdgeVLError):
            told |= {"code": error.code, "words": one_line(str(error), LONGEST)}
        elif self._is_content:
            told["words"] = one_line(str(error), LONGEST)
        return told


def fields_of(record: logging.LogRecord) -> Mapping[str, object]:
    found: Mapping[str, object] = getattr(record, "fields", {})
    return found


def cut(content: object) -> object:
    """Plain data, of which only so much is written as a log can bear."""
    if isinstance(content, str):
        return content if len(content) <= LONGEST_CONTENT else f"{content[:LONGEST_CONTENT]}…"
    if isinstance(content, Mapping):
        return {name: cut(value) for name, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [cut(value) for value in content[:MOST_CONTENT]]
    return content


def plain(value: object) -> object:
    """Numbers as they are, unless JSON has no word for them."""
    if isinstance(value, int) or (isinstance(value, float) and abs(value) < float("inf")):
        return value
    return one_line(str(value), LONGEST)
