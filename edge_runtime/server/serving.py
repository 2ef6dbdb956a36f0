"""One server's whole life: it listens, opens the engine, answers, and ends without cutting anybody short."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from typing import Protocol

from starlette.types import ASGIApp
from uvicorn.config import Config

from edge_runtime.errors import EdgeVLError
from edge_runtime.memory import memory_kb
from edge_runtime.server.apps import Changing, only_health
from edge_runtime.server.banner import Banner, url_of
from edge_runtime.server.bulletin import Bulletin
from edge_runtime.server.doors import door_at_path, doors_at
from edge_runtime.server.drain import Drain, DrainTimes
from edge_runtime.server.engine import Engine
from edge_runtime.server.heard import signals_heard
from edge_runtime.server.listener.binding import check_binding
from edge_runtime.server.listening import Listening
from edge_runtime.server.notify import Notifier
from edge_runtime.server.reload import left_over, reloaded
from edge_runtime.server.settings import Settings
from edge_runtime.server.waiting import beside, first_of

Doors = Sequence[socket.socket]
HEALTH_CONNECTIONS = 64


class OwnEngine(Engine, Protocol):
    """As Keeper. `opened` raises what keeps the bundle from being opened; `close` may come twice."""

    async def start(self) -> None: ...

    async def opened(self) -> None: ...

    async def close(self) -> None: ...


class Front(Protocol):
    """What is between the sockets and the engine."""

    def app(self, settings: Settings, drain: Drain) -> ASGIApp:
        """Anew for each reading of the settings. EdgeVLErrors are about those."""

    def config(self, app: ASGIApp, settings: Settings, is_asked: bool) -> Config:
        """Of one listener: what its connections are like, and whether questions come there."""


@dataclass(frozen=True)
class Outside:
    """Whoever started the server. `is_left` says whether they went away and took their terminal along."""

    note: Callable[[str], None]
    announce: Callable[[Banner], None]
    reread: Callable[[], Settings]
    notifier: Notifier
    is_left: Callable[[], bool] = lambda: False


async def serve(settings: Settings, engine: OwnEngine, front: Front, outside: Outside) -> int:
    """Until a signal ends it; the exit status. Raises what keeps it from answering at all."""
    with doors_of(settings) as doors:
        return await Serving(settings, engine, front, outside).run(doors)


@contextmanager
def doors_of(settings: Settings) -> Iterator[Doors]:
    if settings.uds is not None:
        with door_at_path(settings.uds) as door:
            yield [door]
    else:
        with doors_at(checked_addresses(settings), settings.port) as doors:
            yield doors


def checked_addresses(settings: Settings) -> Sequence[str]:
    """EVL-SERVE-NO-KEY where anybody could ask."""
    return check_binding(settings.host, settings.api_key_file is not None, settings.insecure_no_auth)


class Serving:
    """Of one server, once."""

    def __init__(self, settings: Settings, engine: OwnEngine, front: Front, outside: Outside) -> None:
        self._settings, self._engine, self._front, self._outside = settings, engine, front, outside
        self._drain = Drain()
        self._app = Changing(front.app(settings, self._drain))
        self._bulletin = Bulletin(engine, outside.notifier, settings.hang_timeout_s, outside.note)
        self._last_signal = 0
        self._hung_up = asyncio.Event()

    async def run(self, doors: Doors) -> int:
        async with AsyncExitStack() as held:
            held.enter_context(signals_heard(self._heard()))
            listening = await held.enter_async_context(self._listening(doors, self._app, self._settings))
            if self._settings.health_socket is not None:
                door = held.enter_context(door_at_path(self._settings.health_socket))
                own = replace(self._settings, connections=HEALTH_CONNECTIONS)
                await held.enter_async_context(self._listening([door], only_health(self._app), own, False))
            held.push_async_callback(self._engine.close)
            url = url_of(self._settings, doors[0].getsockname()[1] if self._settings.has_address else 0)
            self._outside.note(f"listening at {url}; the engine is being opened")
            telling = await held.enter_async_context(beside(self._bulletin.run()))
            await self._engine.start()
            if await self._is_opened():
                self._tell_ready(url)
                await self._answered(telling)
            return await self._ended(listening)

    def _heard(self) -> dict[signal.Signals, Callable[[], object]]:
        ending = {each: lambda each=each: self._stop(each) for each in (signal.SIGTERM, signal.SIGINT)}
        return {**ending, signal.SIGHUP: self._hang_up}

    def _stop(self, number: signal.Signals) -> None:
        self._last_signal = number
        self._drain.begin()

    def _hang_up(self) -> None:
        if self._outside.is_left():
            self._stop(signal.SIGHUP)
        else:
            self._hung_up.set()

    @asynccontextmanager
    async def _listening(
        self, doors: Doors, app: ASGIApp, settings: Settings, is_asked: bool = True
    ) -> AsyncIterator[Listening]:
        listening = Listening(self._front.config(app, settings, is_asked), doors)
        try:
            await listening.open()
            yield listening
        finally:
            await listening.closed()

    async def _is_opened(self) -> bool:
        """False where the end came first."""
        opened = asyncio.ensure_future(self._engine.opened())
        await first_of(opened, self._drain.begun())
        if not opened.cancelled():
            opened.result()
        return not self._drain.is_draining

    def _tell_ready(self, url: str) -> None:
        facts = self._engine.facts
        assert facts is not None, "it is open"
        banner = Banner(url, self._settings, facts, memory_kb()["MemAvailable"] / 1024)
        self._outside.announce(banner)
        self._bulletin.ready()

    async def _answered(self, telling: asyncio.Future[None]) -> None:
        """Until the end begins. What fails beside it is a fault of ours, and ends it too."""
        reloading = asyncio.ensure_future(self._reload_when_told())
        await first_of(reloading, asyncio.shield(telling), self._drain.begun())
        for task in (reloading, telling):
            if task.done() and not task.cancelled():
                task.result()

    async def _reload_when_told(self) -> None:
        while True:
            await self._hung_up.wait()
            self._hung_up.clear()
            self._bulletin.reloading()
            await self._reload()
            self._bulletin.ready()

    async def _reload(self) -> None:
        try:
            new = await asyncio.to_thread(self._outside.reread)
            settings = reloaded(self._settings, new)
            if settings.has_address:
                checked_addresses(settings)
            self._app.app = self._front.app(settings, self._drain)
        except (EdgeVLError, OSError) as error:  # the machine too may refuse to read something just now
            self._outside.note(f"the settings stay as they were: {error}")
            return
        waiting = left_over(self._settings, new)
        self._settings = settings
        rest = f"; a new start is needed for {', '.join(waiting)}" if waiting else ""
        self._outside.note(f"the settings were read again{rest}")

    async def _ended(self, listening: Listening) -> int:
        self._bulletin.stopping()
        times = DrainTimes(self._settings.drain_notice_s, self._settings.drain_timeout_s)
        self._outside.note("stopping: what is being answered may end; a second signal ends it at once")
        broken_off = await self._drain.ended(listening, times, self._engine.close)
        self._outside.note(f"stopped; requests broken off: {broken_off}")
        return 128 + self._last_signal if self._drain.is_hurried else 0
