"""A question told by its first bytes: whose head came whole and is as plain as almost every client writes it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from edge_runtime.server.listener.request_id import REQUEST_ID

MOST_BYTES, MOST_LINES = 4096, 32
# No fold, no bare line end, no space before a colon, no control character.
PLAIN = re.compile(rb"[^\r\n]+(?:\r\n[-!#$%&'*+.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*)+")
# The fields that decide over an answer; with one of the second kind there is more to decide than a glance can.
FIELDS = re.compile(
    rb"\r\n(authorization|content-length|host|x-request-id"
    rb"|expect|origin|sec-fetch-site|traceparent|transfer-encoding|upgrade):([^\r]*)",
    re.IGNORECASE,
)
USUAL = {b"authorization", b"content-length", b"host", b"x-request-id"}
LENGTH = re.compile(rb"[1-9][0-9]{0,11}")


@dataclass(frozen=True)
class Glance:
    """Values as they were sent. `request_id` is the client's own, where it is a sober one."""

    path: str
    host: bytes
    authorization: bytes | None
    request_id: bytes | None


@dataclass(frozen=True)
class Glancer:
    paths: Iterable[str]

    @cached_property
    def _starts(self) -> dict[bytes, str]:
        return {f"POST {path} HTTP/1.1\r\n".encode(): path for path in self.paths}

    def glance(self, data: bytes) -> Glance | None:
        """None where it has to be read as any other request."""
        path = next((path for start, path in self._starts.items() if data.startswith(start)), None)
        end = -1 if path is None else data.find(b"\r\n\r\n", 0, MOST_BYTES)
        if path is None or end < 0 or data.count(b"\r\n", 0, end) > MOST_LINES:
            return None
        if PLAIN.fullmatch(data, 0, end) is None:
            return None
        fields = [(name.lower(), value.strip(b" \t")) for name, value in FIELDS.findall(data, 0, end)]
        given = dict(fields)
        if len(given) < len(fields) or not given.keys() <= USUAL or b"host" not in given:
            return None
        if LENGTH.fullmatch(given.get(b"content-length", b"")) is None:
            return None
        own = given.get(b"x-request-id", b"")
        request_id = own if REQUEST_ID.fullmatch(own) else None
        return Glance(path, given[b"host"], given.get(b"authorization"), request_id)
