"""A server under test, with an engine that is a fake and everything else real, in this process."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from edge_runtime.errors import EdgeVLError
from edge_runtime.server.banner import Banner
from edge_runtime.server.engine import Health
from edge_runtime.server.front import WholeFront
from edge_runtime.server.life import stopping_error
from edge_runtime.server.meter import Meter
from edge_runtime.server.notify import Notifier
from edge_runtime.server.serving import Outside, serve
from edge_runtime.server.settings import Settings
from edge_runtime.server.waiting import first_of
from tests.edge_runtime.server.fake_engine import FakeEngine

WAIT_S = 30.0
PLAIN = Settings(Path("bundle"), port=0, drain_notice_s=0, drain_timeout_s=WAIT_S)


class OwnFakeEngine(FakeEngine):
    """Opens when `opening` is set, with a fault if there is one; closing it breaks off whatever is gated."""

    def __init__(self) -> None:
        super().__init__()
        self.opening = asyncio.Event()
        self.opening.set()
        self.opening_fault: EdgeVLError | None = None
        self.closed = 0
        self.known, self.facts = self.facts, None
        self.health = Health("starting", "the engine is being opened")

    async def start(self) -> None:
        self.started = True

    async def opened(self) -> None:
        await self.opening.wait()
        if self.opening_fault is not None:
            raise self.opening_fault
        self.facts, self.health = self.known, Health("ready")

    async def close(self) -> None:
        self.closed += 1
        self.fault = stopping_error()
        self.gate.set()


@dataclass
class Served:
    """`ended` has the exit status."""

    engine: OwnFakeEngine
    notes: list[str] = field(default_factory=list)
    banners: list[Banner] = field(default_factory=list)
    settings: Settings | EdgeVLError = PLAIN  # what is read again
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    is_left: bool = False
    port: int = 0
    uds: Path | None = None
    ended: asyncio.Future[int] = field(default_factory=asyncio.Future)

    def note(self, line: str) -> None:
        self.notes.append(line)
        self.changed.set()

    def announce(self, banner: Banner) -> None:
        self.banners.append(banner)
        self.changed.set()

    def reread(self) -> Settings:
        if isinstance(self.settings, EdgeVLError):
            raise self.settings
        return self.settings

    async def until(self, is_reached: Callable[[], bool]) -> None:
        """Looked at after every word."""
        while not is_reached():
            self.changed.clear()
            await first_of(self.changed.wait(), asyncio.shield(self.ended), limit_s=WAIT_S)
            if self.ended.done() and not is_reached():
                raise AssertionError(f"ended with {self.ended.result()} before that: {self.notes}")

    async def until_noted(self, words: str) -> None:
        await self.until(lambda: any(words in line for line in self.notes))

    async def ready(self) -> None:
        await self.until(lambda: bool(self.banners))

    async def status(self) -> int:
        return await asyncio.wait_for(asyncio.shield(self.ended), WAIT_S)

    @asynccontextmanager
    async def caller(self, path: Path | None = None) -> AsyncIterator[Caller]:
        place = path or self.uds
        if place is not None:
            reader, writer = await asyncio.open_unix_connection(str(place))
        else:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            yield Caller(reader, writer)
        finally:
            writer.close()

    async def get(self, target: str, path: Path | None = None, **headers: str) -> tuple[int, Any]:
        async with self.caller(path) as caller:
            return await caller.ask("GET", target, **headers)

    async def post(self, target: str, body: object, **headers: str) -> tuple[int, Any]:
        async with self.caller() as caller:
            return await caller.ask("POST", target, body, **headers)


@dataclass
class Caller:
    """One connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def ask(self, method: str, target: str, body: object = None, **headers: str) -> tuple[int, Any]:
        """Status, and the body as JSON; for an answer of known length."""
        self.send(method, target, body, **headers)
        head = await self.head()
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        data = await asyncio.wait_for(self.reader.readexactly(length), WAIT_S)
        return int(head.split()[1]), json.loads(data)

    def send(self, method: str, target: str, body: object = None, **headers: str) -> None:
        data = b"" if body is None else json.dumps(body).encode()
        lines = [f"{method} {target} HTTP/1.1", "Host: localhost", *(f"{n}: {v}" for n, v in headers.items())]
        if data:
            lines += ["Content-Type: application/json", f"Content-Length: {len(data)}"]
        self.writer.write("\r\n".join([*lines, "", ""]).encode() + data)

    async def head(self) -> bytes:
        return await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), WAIT_S)

    async def until(self, words: bytes) -> bytes:
        return await asyncio.wait_for(self.reader.readuntil(words), WAIT_S)

    async def rest(self) -> bytes:
        return await asyncio.wait_for(self.reader.read(), WAIT_S)


def question(**more: object) -> dict[str, object]:
    return {"model": "fake-vl", "messages": [{"role": "user", "content": "hi"}], **more}


def send(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)


@asynccontextmanager
async def served(
    engine: OwnFakeEngine, notifier: Notifier | None = None, **settings: Any
) -> AsyncIterator[Served]:
    """Listening; ended at last, if the test did not."""
    plain = replace(PLAIN, port=Settings.port) if "uds" in settings else PLAIN
    wanted = replace(plain, **settings)
    made = Served(engine, settings=wanted, uds=wanted.uds)
    outside = Outside(made.note, made.announce, made.reread, notifier or Notifier(None), lambda: made.is_left)
    front = WholeFront(wanted, engine, Meter())
    made.ended = asyncio.ensure_future(serve(wanted, engine, front, outside))
    try:
        await made.until_noted("listening at")
        made.port = int(made.notes[0].split(";")[0].rpartition(":")[2]) if wanted.uds is None else 0
        yield made
    finally:
        if not made.ended.done():
            send(signal.SIGTERM)
            send(signal.SIGTERM)
        await asyncio.wait([made.ended], timeout=WAIT_S)
