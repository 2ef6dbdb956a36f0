"""Server-sent events: sent as they come, with a sign of life where none come for long."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable

from starlette.types import Send

from edge_runtime.errors import EdgeVLError

KEEP_ALIVE = b": keep-alive\n\n"
DONE = b"data: [DONE]\n\n"
# JSON leaves these as they are, and many a client takes them for the end of a line.
BREAKS = {ord(each): f"\\u{ord(each):04x}" for each in "\x7f\x85\u2028\u2029"}
HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),  # a proxy that collects a stream makes none of it
]


def frame(data: object, event: str = "") -> bytes:
    """In one line, by anybody's idea of a line."""
    name = f"event: {event}\n" if event else ""
    line = json.dumps(data, ensure_ascii=False).translate(BREAKS)
    return f"{name}data: {line}\n\n".encode("utf-8", "replace")


async def send_stream(
    send: Send,
    frames: AsyncGenerator[bytes, None],
    faulty: Callable[[Exception], bytes],
    keep_alive_s: float,
) -> None:
    """The head goes out with the first frame, or after `keep_alive_s` without one. What `frames` raises before that is
    raised here. Afterwards it is sent as what `faulty` makes of it, and raised here only where it is a bug of ours."""
    stream = _Stream(send)
    try:
        await _send_all(stream, frames, keep_alive_s)
    except Exception as error:
        if not stream.is_begun:
            raise
        await stream.put(faulty(error))
        if not isinstance(error, EdgeVLError):
            await stream.end()
            raise
    await stream.end()


class _Stream:
    def __init__(self, send: Send) -> None:
        self._send = send
        self.is_begun = False

    async def put(self, data: bytes) -> None:
        if not self.is_begun:
            self.is_begun = True
            await self._send({"type": "http.response.start", "status": 200, "headers": HEADERS})
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self) -> None:
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})


async def _send_all(stream: _Stream, frames: AsyncGenerator[bytes, None], keep_alive_s: float) -> None:
    coming = asyncio.ensure_future(anext(frames, None))
    try:
        while True:
            done, _ = await asyncio.wait({coming}, timeout=keep_alive_s)
            if not done:
                await stream.put(KEEP_ALIVE)
                continue
            data = coming.result()
            if data is None:
                return
            await stream.put(data)
            coming = asyncio.ensure_future(anext(frames, None))
    finally:
        coming.cancel()
        await asyncio.gather(coming, return_exceptions=True)
        await frames.aclose()
