"""A request's body: whole, of a bounded size and in time, before the app hears of the request."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edge_runtime.server.listener.refusal import Refusal, Refuser, has_body, header_values
from edge_runtime.server.listener.rules import GuardRules

TOO_LARGE = Refusal(413, "body_too_large", "the request's body is too large: send smaller or fewer pictures")
# Clients repeat a 408 on their own; a body that was too slow once is so again.
TOO_SLOW = Refusal(
    408,
    "body_too_slow",
    "the request's body did not come in time: send smaller pictures or use a faster connection",
    headers=((b"x-should-retry", b"false"),),
)
ENCODED = Refusal(415, "unsupported_encoding", "the request's body is compressed: send it as it is")
BAD_LENGTH = Refusal(400, "bad_length", "the request's Content-Length is not one number: send the right one")
NO_ROOM = Refusal(
    503,
    "no_room_for_body",
    "too many requests are being read at once: try again in a moment",
    "server_error",
    ((b"retry-after", b"1"),),
)


class Refused(Exception):
    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.code)
        self.refusal = refusal


class Gone(Exception):
    """The client went away before its request was whole; it is owed no answer."""


@dataclass
class Share:
    """What one request has of the memory for bodies, until it is answered."""

    nbytes: int = 0


class BoundedBody:
    """Reads the body for the app, which then finds it whole: in the end it would wait for all of it anyway."""

    def __init__(self, app: ASGIApp, rules: GuardRules, refuse: Refuser) -> None:
        self._app = app
        self._rules = rules
        self._refuse = refuse
        self._held_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not has_body(scope):
            await self._app(scope, receive, send)
            return
        share = Share()
        try:
            await self._with_body(share, scope, receive, send)
        finally:
            self._held_bytes -= share.nbytes

    async def _with_body(self, share: Share, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            self._check_headers(scope)
            body = await self._read(share, receive)
        except Refused as refused:
            can_linger = refused.refusal is not TOO_SLOW
            await self._refuse(refused.refusal, scope, receive, send, can_linger)
        except Gone:
            return
        else:
            await self._app(scope, replayed(body, receive), send)

    def _check_headers(self, scope: Scope) -> None:
        encodings = header_values(scope, b"content-encoding")
        if any(each.lower() not in (b"", b"identity") for each in encodings):
            raise Refused(ENCODED)
        lengths = header_values(scope, b"content-length")
        if not lengths:
            return
        if len(lengths) > 1 or not lengths[0].isdigit() or len(lengths[0]) > 20:
            raise Refused(BAD_LENGTH)
        if int(lengths[0]) > self._rules.max_body_bytes:
            raise Refused(TOO_LARGE)

    async def _read(self, share: Share, receive: Receive) -> bytes:
        began_s = asyncio.get_running_loop().time()
        body = bytearray()
        has_more = True
        while has_more:
            message = await self._next(began_s, len(body), receive)
            if message["type"] != "http.request":
                raise Gone
            piece = message.get("body", b"")
            self._take(len(piece), share)
            body += piece
            has_more = message.get("more_body", False)
        return bytes(body)

    async def _next(self, began_s: float, read_bytes: int, receive: Receive) -> Message:
        end_s = began_s + self._rules.body_s + read_bytes / self._rules.body_bytes_per_s
        try:
            return await asyncio.wait_for(receive(), end_s - asyncio.get_running_loop().time())
        except asyncio.TimeoutError:
            raise Refused(TOO_SLOW) from None

    def _take(self, nbytes: int, share: Share) -> None:
        if share.nbytes + nbytes > self._rules.max_body_bytes:
            raise Refused(TOO_LARGE)
        if self._held_bytes + nbytes > self._rules.max_held_bytes:
            raise Refused(NO_ROOM)
        share.nbytes += nbytes
        self._held_bytes += nbytes


def replayed(body: bytes, receive: Receive) -> Receive:
    """The body in one piece, then whatever comes."""
    waiting = [body]

    async def receiving() -> Message:
        if waiting:
            return {"type": "http.request", "body": waiting.pop(), "more_body": False}
        return await receive()

    return receiving
