"""An application at some sockets, and whoever is connected to them."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from email.utils import formatdate

from uvicorn.config import Config
from uvicorn.server import ServerState

from edge_runtime.server.doors import BACKLOG

LOOK_S = 0.02  # between two looks whether the last one has left
DATE_S = 1.0
FAREWELL_S = 1.0  # for what runs for a client to see that it is gone


class Listening:
    """uvicorn's connections without its server: that one closes its sockets before it stops, and cuts what is said."""

    def __init__(self, config: Config, doors: Sequence[socket.socket]) -> None:
        self._config, self._doors = config, doors
        self._state = ServerState()
        self._servers: list[asyncio.base_events.Server] = []
        self._dates: asyncio.Task[None] | None = None

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        if not self._config.loaded:
            self._config.load()
        self._set_date()
        self._dates = loop.create_task(self._tell_date(), name="date")
        for door in self._doors:
            self._servers.append(await loop.create_server(self._made, sock=door, backlog=BACKLOG))

    @property
    def under_way(self) -> int:
        return len(self._state.tasks)

    def close(self) -> None:
        for server in self._servers:
            server.close()
        for connection in list(self._state.connections):
            if not connection.transport.is_closing():
                connection.shutdown()

    async def left(self) -> None:
        while self._state.connections:
            await asyncio.sleep(LOOK_S)

    def cut(self) -> None:
        for connection in list(self._state.connections):
            connection.transport.abort()

    async def closed(self) -> None:
        """Everything is over, however it came to that."""
        self.close()
        self.cut()
        await ended([] if self._dates is None else [self._dates], 0.0)
        await ended(list(self._state.tasks), FAREWELL_S)
        for server in self._servers:
            await server.wait_closed()

    def _made(self) -> asyncio.Protocol:
        made = self._config.http_protocol_class
        return made(
            config=self._config, server_state=self._state, app_state={}, _loop=asyncio.get_running_loop()
        )  # type: ignore[call-arg]  # as uvicorn has it

    def _set_date(self) -> None:
        date = (b"date", formatdate(usegmt=True).encode())
        self._state.default_headers = [date, *self._config.encoded_headers]

    async def _tell_date(self) -> None:
        while True:
            await asyncio.sleep(DATE_S)
            self._set_date()


async def ended(tasks: Sequence[asyncio.Task[None]], limit_s: float) -> None:
    """Each by itself, or cancelled after that time."""
    if tasks:
        await asyncio.wait(tasks, timeout=limit_s)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
