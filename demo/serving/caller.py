"""A client that sees every byte's time: one request a connection, and it can go away in the middle."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from demo.serving.stand import Server

LIMIT_S = 120.0


@dataclass
class Reply:
    """`status` 0: the connection was refused or closed before an answer. Seconds are since the request was sent."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    first_s: float | None = None  # to the first byte of the body
    total_s: float = 0.0

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def is_whole(self) -> bool:
        """Of a stream: whether it was ended as it should be."""
        return self.body.rstrip().endswith(b"data: [DONE]")

    @property
    def text(self) -> str:
        """Of a stream: what was said."""
        return "".join(
            choice["delta"].get("content") or "" for each in self.events for choice in each["choices"]
        )

    @property
    def events(self) -> list[dict[str, Any]]:
        lines = [line[6:] for line in self.body.decode().splitlines() if line.startswith("data: {")]
        return [event for event in map(json.loads, lines) if "choices" in event]


def question(server: Server, text: str, picture: bytes | None = None, **fields: object) -> dict[str, object]:
    """The body of a chat request."""
    content: list[dict[str, object]] = [{"type": "text", "text": text}]
    if picture is not None:
        url = "data:image/png;base64," + base64.b64encode(picture).decode()
        content.insert(0, {"type": "image_url", "image_url": {"url": url}})
    return {"model": server.model, "messages": [{"role": "user", "content": content}], **fields}


def request_bytes(path: str, body: object | None, headers: Mapping[str, str] | None = None) -> bytes:
    data = b"" if body is None else json.dumps(body).encode()
    head = {"host": "localhost", "connection": "close", **(headers or {})}
    if body is not None:
        head |= {"content-type": "application/json", "content-length": str(len(data))}
    lines = [f"{'GET' if body is None else 'POST'} {path} HTTP/1.1", *(f"{k}: {v}" for k, v in head.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + data


@asynccontextmanager
async def connected(server: Server) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Left in the middle, it is as a client that goes away."""
    reader, writer = await asyncio.open_connection(server.host, server.port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def called(server: Server, path: str, body: object | None = None, limit_s: float = LIMIT_S) -> Reply:
    """The whole answer."""
    reply, begun = Reply(), time.perf_counter()
    try:
        async with connected(server) as (reader, writer):
            writer.write(request_bytes(path, body))
            await asyncio.wait_for(read_reply(reader, reply, begun), limit_s)
    except (OSError, asyncio.IncompleteReadError, asyncio.TimeoutError):
        pass  # what came is told by the reply itself
    reply.total_s = time.perf_counter() - begun
    return reply


async def first_word_s(server: Server, body: dict[str, object]) -> float:
    """Of a stream: until the first piece of the answer is there; the rest is waited for too. ValueError where it breaks off, or
    ends in an error."""
    async with connected(server) as (reader, writer):
        begun = time.perf_counter()
        writer.write(request_bytes("/v1/chat/completions", {**body, "stream": True}))
        await asyncio.wait_for(reader.readuntil(b'"delta": {"content":'), LIMIT_S)
        spent = time.perf_counter() - begun
        rest = await asyncio.wait_for(reader.read(), LIMIT_S)
    if b"data: [DONE]" not in rest or b'"error":' in rest:
        raise ValueError(f"a stream did not come to its end: {rest[-200:]!r}")
    return spent


async def read_reply(reader: asyncio.StreamReader, reply: Reply, begun: float) -> None:
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    reply.status = int(lines[0].split()[1])
    reply.headers = dict(line.lower().split(": ", 1) for line in lines[1:] if ": " in line)
    is_chunked = reply.headers.get("transfer-encoding") == "chunked"
    while data := await (chunk_of(reader) if is_chunked else reader.read(1 << 16)):
        reply.first_s = reply.first_s or time.perf_counter() - begun
        reply.body += data


async def chunk_of(reader: asyncio.StreamReader) -> bytes:
    size = int(await reader.readline(), 16)
    return (await reader.readexactly(size + 2))[:-2]
