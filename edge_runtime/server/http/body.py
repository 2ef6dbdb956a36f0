"""The body of a request as a JSON object: what is no clean JSON is refused before anything looks into it."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

from starlette.requests import Request

from edge_runtime.server.http.errors import RequestError

MOST_DEPTH = 128
MOST_COMMAS = 1 << 17  # of texts too; so many values would keep everybody else waiting
LONGEST_NUMBER = 40

Document = dict[str, Any]


async def document_of(request: Request) -> Document:
    """The object in a request's body. Raises RequestError: 415 for another type, 400 for anything but an object."""
    check_type(request.headers.get("content-type", ""))
    return document_from(await request.body())


def document_from(data: bytes) -> Document:
    if data.count(b",") > MOST_COMMAS:
        refuse(f"it has more than {MOST_COMMAS} commas")
    try:
        found = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=object_from_pairs,
            parse_constant=refuse_constant,
            parse_int=int_from,
            parse_float=float_from,
        )
    except UnicodeDecodeError:
        refuse("it is not UTF-8")
    except json.JSONDecodeError as error:
        refuse(f"{error.msg} at character {error.pos}")
    except RecursionError:
        refuse(f"it is nested more than {MOST_DEPTH} deep")
    check_values(found)
    if not isinstance(found, dict):
        refuse("it is not an object")
    return found


def check_type(sent: str) -> None:
    kind, _, options = sent.partition(";")
    charset = options.partition("charset=")[2].strip(' "').lower()
    if kind.strip().lower() != "application/json" or charset not in ("", "utf-8"):
        raise RequestError(
            "EVL-REQUEST-TYPE",
            "the body is of a type that is not read here",
            "only JSON in UTF-8 is",
            "send it with the header Content-Type: application/json",
            status=415,
        )


def check_values(found: object) -> None:
    """What the parser lets through and no model can read: half characters, and depth that is only a burden."""
    waiting: list[tuple[object, int]] = [(found, 1)]  # no recursion: that is what depth would exhaust
    while waiting:
        value, depth = waiting.pop()
        if isinstance(value, str):
            check_text(value)
        elif isinstance(value, dict | list):
            if depth > MOST_DEPTH:
                refuse(f"it is nested more than {MOST_DEPTH} deep")
            if isinstance(value, dict):
                waiting.extend((key, depth) for key in value)
                value = list(value.values())
            waiting.extend((each, depth + 1) for each in value)


def check_text(text: str) -> None:
    if text.isascii():
        return
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        refuse("a text in it has a lone surrogate, which is half a character")


def object_from_pairs(pairs: list[tuple[str, Any]]) -> Document:
    found = dict(pairs)
    if len(found) != len(pairs):
        refuse("an object in it has the same key twice")
    return found


def int_from(text: str) -> int:
    if len(text) > LONGEST_NUMBER:
        refuse(f"a number in it has {len(text)} digits")
    return int(text)


def float_from(text: str) -> float:
    if len(text) > LONGEST_NUMBER or not math.isfinite(value := float(text)):
        refuse("a number in it is too large, or too long")
    return value


def refuse_constant(name: str) -> NoReturn:
    refuse(f"{name} is not a JSON number")


def refuse(why: str) -> NoReturn:
    raise RequestError(
        "EVL-REQUEST-JSON", "the body is not a JSON object", why, "send one JSON object in UTF-8"
    )
