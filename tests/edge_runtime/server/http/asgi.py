"""One request to an ASGI app without a network, with an asker who may go away in the middle."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any

App = Callable[..., Awaitable[None]]
NO_HEADERS: Mapping[str, str] = {}


@dataclass
class Reply:
    """`chunks` are the pieces of the body as they were sent; `raised` is what came out of the app behind its response."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    chunks: list[bytes] = field(default_factory=list)
    raised: Exception | None = None
    is_whole: bool = False

    @property
    def body(self) -> bytes:
        return b"".join(self.chunks)

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def events(self) -> list[Any]:
        """Of a stream: the data of its events, without the closing mark."""
        lines = [line for line in self.text.split("\n") if line.startswith("data: ")]
        return [json.loads(line[6:]) for line in lines if line != "data: [DONE]"]


@dataclass
class Asker:
    """`goes` is set when the asker goes away; `heard` is told every piece of the body, and may hold up the sender. Who
    `has_gone` did so in the middle of their request."""

    goes: asyncio.Event = field(default_factory=asyncio.Event)
    heard: Callable[[bytes], Awaitable[None]] | None = None
    has_gone: bool = False


async def call(
    app: App,
    method: str,
    path: str,
    body: object = None,
    headers: Mapping[str, str] = NO_HEADERS,
    asker: Asker | None = None,
    state: Mapping[str, object] | None = None,
) -> Reply:
    """`body` is sent as it is where it is bytes, else as JSON. Without an asker nobody goes away."""
    asker, reply = asker or Asker(), Reply()
    data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    try:
        await app(
            scope_of(method, path, data, headers, state or {}),
            receiver_of(data, asker),
            sender_of(reply, asker),
        )
    except Exception as error:
        if not reply.is_whole:
            raise
        reply.raised = error
    return reply


def scope_of(
    method: str, path: str, data: bytes, headers: Mapping[str, str], state: Mapping[str, object]
) -> dict[str, object]:
    path, _, query = path.partition("?")
    sent = {"host": "127.0.0.1", "content-length": str(len(data))}
    if method not in ("GET", "HEAD"):
        sent["content-type"] = "application/json"
    sent |= {name.lower(): value for name, value in headers.items()}
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in sent.items()],
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 80),
        "state": dict(state),
    }


def receiver_of(data: bytes, asker: Asker) -> Callable[[], Awaitable[dict[str, object]]]:
    body: dict[str, object] = {"type": "http.request", "body": data, "more_body": False}
    begun: dict[str, object] = {"type": "http.request", "body": data[:1], "more_body": True}
    gone: dict[str, object] = {"type": "http.disconnect"}
    waiting = [gone, begun] if asker.has_gone else [body]

    async def receive() -> dict[str, object]:
        if waiting:
            return waiting.pop()
        await asker.goes.wait()
        return {"type": "http.disconnect"}

    return receive


def sender_of(reply: Reply, asker: Asker) -> Callable[[MutableMapping[str, Any]], Awaitable[None]]:
    async def send(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            assert not reply.status, "a response begins once"
            reply.status = message["status"]
            reply.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            return
        assert reply.status, "a response begins with its status"
        assert not reply.is_whole, "nothing is sent after the end"
        reply.is_whole = not message.get("more_body", False)
        if piece := message.get("body", b""):
            reply.chunks.append(piece)
            if asker.heard is not None:
                await asker.heard(piece)

    return send
