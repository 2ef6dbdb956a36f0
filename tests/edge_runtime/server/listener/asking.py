"""An app that tells what it was asked, and a way to ask it without a network."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edge_runtime.server.listener.refusal import Refuser

NO_HEADERS: Mapping[str, str] = {}


@dataclass
class App:
    """Answers 200 with what it read; `scopes` are the requests that came through to it."""

    scopes: list[Scope] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    headers: Sequence[tuple[bytes, bytes]] = ()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.append(scope)
        body, has_more = b"", True
        while has_more:
            message = await receive()
            body += message.get("body", b"")
            has_more = message.get("more_body", False)
        self.bodies.append(body)
        await send({"type": "http.response.start", "status": 200, "headers": list(self.headers)})
        await send({"type": "http.response.body", "body": b"done"})


@dataclass
class Reply:
    status: int = 0
    raw: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    is_whole: bool = False

    @property
    def headers(self) -> dict[str, str]:
        return dict(self.raw)

    @property
    def error(self) -> dict[str, Any]:
        told: dict[str, dict[str, Any]] = json.loads(self.body)
        return told["error"]


@dataclass
class Rejections:
    """Counts as metrics would; `refuse` is a refuser that tells it."""

    codes: list[str] = field(default_factory=list)

    def __call__(self, code: str) -> None:
        self.codes.append(code)

    @property
    def refuse(self) -> Refuser:
        return Refuser(self, linger_s=0.05)


def scope_of(method: str, path: str, headers: Sequence[tuple[str, str]]) -> Scope:
    return {
        "type": "http",
        "method": method,
        "path": path,
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers],
        "client": ("192.0.2.7", 40000),
        "server": ("127.0.0.1", 8080),
    }


def ask(
    app: ASGIApp,
    path: str = "/",
    method: str = "GET",
    headers: Mapping[str, str] | Sequence[tuple[str, str]] = NO_HEADERS,
    pieces: Sequence[bytes] = (),
    is_silent: bool = False,
    changed: Mapping[str, Any] | None = None,
) -> Reply:
    """`pieces` are what the client sends of its body; a silent one then sends nothing more and stays."""
    listed = list(headers.items()) if isinstance(headers, Mapping) else list(headers)
    if not any(name.lower() == "host" for name, _ in listed):
        listed.append(("host", "localhost:8080"))
    scope = {**scope_of(method, path, listed), **(changed or {})}
    return asyncio.run(answered(app, scope, receiver_of(pieces, is_silent)))


async def answered(app: ASGIApp, scope: Scope, receive: Receive) -> Reply:
    reply = Reply()

    async def send(message: Message) -> None:
        assert not reply.is_whole, "nothing is sent after the end"
        if message["type"] == "http.response.start":
            reply.status = message["status"]
            reply.raw = [(name.decode(), value.decode("latin-1")) for name, value in message["headers"]]
        else:
            reply.body += message.get("body", b"")
            reply.is_whole = not message.get("more_body", False)

    await app(scope, receive, send)
    return reply


def receiver_of(pieces: Sequence[bytes], is_silent: bool) -> Callable[[], Any]:
    left = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    if not is_silent:
        left.append({"type": "http.request", "body": b"", "more_body": False})

    async def receive() -> Message:
        if left:
            return left.pop(0)
        if is_silent:
            await asyncio.Event().wait()
        return {"type": "http.disconnect"}

    return receive
