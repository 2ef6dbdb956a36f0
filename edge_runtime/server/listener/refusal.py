"""The one way in which a request is turned away before the app sees it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from uuid import uuid4

from starlette.types import Receive, Scope, Send

Headers = tuple[tuple[bytes, bytes], ...]

# On every response that says nothing else: an API's answers are nobody's to guess at, frame or keep.
SAFE_HEADERS: Headers = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cache-control", b"no-store"),
)


@dataclass(frozen=True)
class Refusal:
    """Fixed words only: nothing of the request and nothing of this machine. `code` also counts it."""

    status: int
    code: str
    message: str
    kind: str = "invalid_request_error"
    headers: Headers = ()

    @property
    def body(self) -> bytes:
        error = {"message": self.message, "type": self.kind, "param": None, "code": self.code}
        return json.dumps({"error": error}).encode()

    @property
    def all_headers(self) -> Headers:
        length = str(len(self.body)).encode()
        return ((b"content-type", b"application/json"), (b"content-length", length), *self.headers)

    def as_sent(self, request_id: bytes | None = None) -> bytes:
        """A whole response, for where there is no app to send it, and the connection ends with it."""
        reason = HTTPStatus(self.status).phrase
        ending = ((b"x-request-id", request_id or uuid4().hex.encode()), (b"connection", b"close"))
        lines = [name + b": " + value for name, value in self.all_headers + SAFE_HEADERS + ending]
        return b"\r\n".join([f"HTTP/1.1 {self.status} {reason}".encode(), *lines, b"", self.body])


@dataclass(frozen=True)
class Refuser:
    """Counts a refusal and sends it. What is left of the body is not read, so the connection ends; but a client that still
    sends is heard out for `linger_s`, as it would otherwise find its connection broken before it reads why."""

    on_rejected: Callable[[str], None]
    linger_s: float

    async def __call__(
        self, refusal: Refusal, scope: Scope, receive: Receive, send: Send, can_linger: bool = True
    ) -> None:
        self.on_rejected(refusal.code)
        is_last = has_body(scope)
        headers = [*refusal.all_headers, *([(b"connection", b"close")] if is_last else [])]
        await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
        lingers = is_last and can_linger
        await send({"type": "http.response.body", "body": refusal.body, "more_body": lingers})
        if lingers:
            await heard_out(receive, self.linger_s)
            await send({"type": "http.response.body", "body": b"", "more_body": False})


async def heard_out(receive: Receive, limit_s: float) -> None:
    """What comes is thrown away, until nothing more comes or the time is up."""
    loop = asyncio.get_running_loop()
    end = loop.time() + limit_s
    while (left_s := end - loop.time()) > 0:
        try:
            message = await asyncio.wait_for(receive(), left_s)
        except asyncio.TimeoutError:
            return
        if message["type"] != "http.request" or not message.get("more_body", False):
            return


def header_values(scope: Scope, name: bytes) -> list[bytes]:
    """All there are: a header that must come once may come twice."""
    return [value.strip() for known, value in scope["headers"] if known.lower() == name]


def has_body(scope: Scope) -> bool:
    lengths = header_values(scope, b"content-length")
    return bool(header_values(scope, b"transfer-encoding")) or any(each.strip(b"0") for each in lengths)
