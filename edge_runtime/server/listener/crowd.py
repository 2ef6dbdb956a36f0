"""Questions that come while there is no room for any: turned away before their body is read, which is most of what they cost."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from starlette.types import ASGIApp, Receive, Scope, Send

from edge_runtime.server.listener.refusal import Refusal, Refuser
from edge_runtime.server.listener.request_id import REQUEST_ID

FULL = "EVL-ADMISSION-FULL"
MESSAGE = "there is no room for another question: ask again after the time in Retry-After"
HEAD_END = b"\r\n\r\n"
# The few fields that decide over an answer, each with its value.
FIELDS = re.compile(rb"\r\n(authorization|origin|traceparent|x-request-id):[ \t]*([^\r\n]*)", re.IGNORECASE)


@dataclass(frozen=True)
class Crowd:
    """`paths` are those of questions. `wait_s` tells when there should be room; None while there is. `may_ask` says whether a
    question with this Authorization, or with none, would be let in."""

    paths: frozenset[str]
    wait_s: Callable[[], float | None]
    may_ask: Callable[[bytes | None], bool]

    @cached_property
    def _starts(self) -> tuple[bytes, ...]:
        return tuple(f"POST {path} HTTP/1.1\r\n".encode() for path in self.paths)

    def turned_away(self, data: bytes) -> bytes | None:
        """The answer to a new connection that has sent this, where it is the whole head of a plain question and there is no room;
        None where it is to be read as any other. It costs a quarter of a request that is parsed and passed through all the
        guards: when ten times too much is asked, the rest is left for answers."""
        if not data.startswith(self._starts) or (wait_s := self.wait_s()) is None:
            return None
        end = data.find(HEAD_END)
        if end < 0:
            return None
        fields = [(name.lower(), value.strip()) for name, value in FIELDS.findall(data, 0, end)]
        given = dict(fields)
        is_plain = len(given) == len(fields) and not given.keys() & {b"origin", b"traceparent"}
        if not is_plain or not self.may_ask(given.get(b"authorization")):
            return None
        own = given.get(b"x-request-id", b"")
        return full(wait_s).as_sent(own if REQUEST_ID.fullmatch(own) else None)


def only_with_room(app: ASGIApp, crowd: Crowd, refuse: Refuser) -> ASGIApp:
    async def guarding(scope: Scope, receive: Receive, send: Send) -> None:
        is_question = scope["method"] == "POST" and scope["path"] in crowd.paths
        if is_question and (wait_s := crowd.wait_s()) is not None:
            await refuse(full(wait_s), scope, receive, send)
        else:
            await app(scope, receive, send)

    return guarding


def full(wait_s: float) -> Refusal:
    after = (b"retry-after", str(math.ceil(wait_s)).encode())
    exactly = (b"retry-after-ms", str(math.ceil(1000 * wait_s)).encode())
    return Refusal(429, FULL, MESSAGE, "rate_limit_error", (after, exactly))
