"""A listener on a loopback port, and clients that write bytes by hand."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from starlette.types import ASGIApp
from uvicorn.server import ServerState

from edge_runtime.server.listener.crowd import Crowd
from edge_runtime.server.listener.guarded import guarded
from edge_runtime.server.listener.keys import Keys
from edge_runtime.server.listener.listening import config_of
from edge_runtime.server.listener.rules import GuardRules
from tests.edge_runtime.server.listener.asking import Rejections

PATIENCE_S = 10.0


@dataclass
class Listener:
    """`state.connections` are those that are open on the server's side."""

    port: int
    state: ServerState
    rejections: Rejections


@asynccontextmanager
async def listening(
    app: ASGIApp,
    rules: GuardRules,
    has_guards: bool = True,
    keys: Keys | None = None,
    crowd: Crowd | None = None,
) -> AsyncIterator[Listener]:
    """Closes everything that is still open when it ends."""
    rejections = Rejections()
    inner = guarded(app, rules, keys, rejections, crowd=crowd) if has_guards else app
    config = config_of(inner, rules, rejections, crowd)
    config.load()
    state = ServerState()

    def protocol() -> asyncio.Protocol:
        return config.http_protocol_class(config=config, server_state=state, app_state={})  # type: ignore[call-arg]

    loop = asyncio.get_running_loop()
    server = await loop.create_server(protocol, "127.0.0.1", 0, backlog=2048)
    try:
        yield Listener(server.sockets[0].getsockname()[1], state, rejections)
    finally:
        server.close()
        for connection in list(state.connections):
            connection.transport.abort()
        await settled(state)
        for task in list(state.tasks):
            task.cancel()
        await asyncio.gather(*state.tasks, return_exceptions=True)
        await server.wait_closed()


async def settled(state: ServerState) -> None:
    """Until no connection is open on the server's side."""

    async def empty() -> None:
        while state.connections:
            await asyncio.sleep(0.001)

    await asyncio.wait_for(empty(), PATIENCE_S)


@dataclass
class Client:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def rest(self) -> bytes:
        """All that still comes until the server ends the connection."""
        try:
            return await asyncio.wait_for(self.reader.read(), PATIENCE_S)
        except ConnectionError:
            return b""

    async def response(self) -> bytes:
        """One, by its Content-Length."""
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), PATIENCE_S)
        lines = head.lower().split(b"\r\n")
        lengths = [int(line.partition(b":")[2]) for line in lines if line.startswith(b"content-length:")]
        return head + await asyncio.wait_for(self.reader.readexactly(lengths[0]), PATIENCE_S)


@asynccontextmanager
async def plugged(port: int, receive_bytes: int) -> AsyncIterator[socket.socket]:
    """A bare socket, for which the system holds not much more than `receive_bytes` that were not read yet."""
    with socket.socket() as plug:
        plug.setblocking(False)
        plug.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        await asyncio.get_running_loop().sock_connect(plug, ("127.0.0.1", port))
        yield plug


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Client(reader, writer)
    finally:
        writer.transport.abort()


def status_of(response: bytes) -> int:
    """0 where there is none."""
    return int(response.split(b" ", 2)[1]) if response else 0


def code_of(response: bytes) -> str:
    told: dict[str, dict[str, Any]] = json.loads(response.partition(b"\r\n\r\n")[2])
    return str(told["error"]["code"])
