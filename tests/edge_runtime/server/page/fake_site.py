"""The page with a server behind it that does what a test tells it to, in a thread of its own."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from edge_runtime.server.http.page import page_router
from edge_runtime.server.kiosk import Kiosk

USAGE = {
    "prompt_tokens": 655,
    "completion_tokens": 20,
    "total_tokens": 675,
    "prompt_tokens_details": {"cached_tokens": 640},
}
TIMINGS = {
    "queue": 40.0,
    "decode_image": 10.0,
    "preprocess": 20.0,
    "vision": 430.0,
    "prefill": 100.0,
    "decode": 400.0,
    "total": 1000.0,
}


@dataclass(frozen=True)
class Refused:
    """What is answered instead of an answer, once."""

    status: int
    message: str
    headers: Mapping[str, str] | None = None

    def response(self) -> Response:
        error = {"message": self.message, "type": "test", "param": None, "code": None}
        headers = dict(self.headers or {})
        return JSONResponse({"error": error}, self.status, headers)


class FakeSite:
    """`pieces` are said; before the one numbered `held_at` the answer waits for `go_on()`. `asked` are the bodies that came,
    `left` counts answers whose asker went away."""

    def __init__(self, kiosk: Kiosk | None = None) -> None:
        self.pieces: tuple[str, ...] = ("It ", "is ", "red.")
        self.finish = "stop"
        self.held_at: int | None = None
        self.broken_at: int | None = None
        self.refusals: list[Refused] = []
        self.key: str | None = None
        self.key_refusal = Refused(401, "this server wants a key")
        self.refused_after_s = 0.0  # of questions
        self.condition = "ready"
        self.why = ""
        self.asked: list[dict[str, Any]] = []
        self.left = 0
        self.url = ""
        self._gate = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self.app = self._made(kiosk)

    def go_on(self) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._gate.set)

    def _made(self, kiosk: Kiosk | None) -> FastAPI:
        app = FastAPI()
        app.include_router(page_router(kiosk))

        @app.get("/health/ready")
        async def ready() -> Response:
            status = 200 if self.condition == "ready" else 503
            return JSONResponse({"status": self.condition, "why": self.why}, status)

        @app.get("/v1/models")
        async def models(request: Request) -> Response:
            return self._refusal(request) or JSONResponse({"data": [{"id": "fake-vl"}]})

        @app.post("/v1/chat/completions")
        async def chat(request: Request) -> Response:
            self._loop = asyncio.get_running_loop()
            if refusal := self._refusal(request):
                await asyncio.sleep(self.refused_after_s)
                return refusal
            self.asked.append(await request.json())
            if self.refusals:
                return self.refusals.pop(0).response()
            return StreamingResponse(self._said(), media_type="text/event-stream")

        return app

    def _refusal(self, request: Request) -> Response | None:
        if self.key is None or request.headers.get("Authorization") == f"Bearer {self.key}":
            return None
        return self.key_refusal.response()

    async def _said(self) -> AsyncIterator[str]:
        try:
            yield ": keep-alive\n\n"
            yield event({"role": "assistant", "content": ""})
            for number, piece in enumerate(self.pieces):
                if number == self.held_at:
                    await self._gate.wait()
                if number == self.broken_at:
                    error = {"message": "the engine is not there at the moment", "type": "server_error"}
                    yield f"event: error\ndata: {json.dumps({'error': error})}\n\ndata: [DONE]\n\n"
                    return
                yield event({"content": piece})
            yield event({}, self.finish)
            last = {"choices": [], "usage": USAGE, "timings_ms": TIMINGS}
            yield f"data: {json.dumps(last)}\n\ndata: [DONE]\n\n"
        except asyncio.CancelledError:
            self.left += 1
            raise


def event(delta: Mapping[str, str], finish: str | None = None) -> str:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return f"data: {json.dumps({'choices': [choice], 'usage': None}, ensure_ascii=False)}\n\n"


@contextmanager
def served(app: FastAPI) -> Iterator[str]:
    """The address that `app` answers at."""
    config = uvicorn.Config(app, log_level="warning", ws="none", lifespan="off", timeout_graceful_shutdown=1)
    with running(uvicorn.Server(config)) as url:
        yield url


@contextmanager
def running(server: uvicorn.Server) -> Iterator[str]:
    """In a thread of its own, at a free port."""
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        door.listen()  # who calls before the loop runs waits, instead of being turned away
        thread = threading.Thread(target=server.run, kwargs={"sockets": [door]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{door.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
