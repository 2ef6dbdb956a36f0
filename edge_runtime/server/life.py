"""One life of the worker: a process, the socket to it, and the questions it was asked."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import socket
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

from edge_runtime.child import signal_name
from edge_runtime.errors import EdgeVLError, MachineFault, one_line
from edge_runtime.server.asked import Asked
from edge_runtime.server.engine import EngineFacts, EngineState
from edge_runtime.server.letters import (
    error_of,
    event_of_letter,
    facts_of_body,
    letter_of_question,
    state_of_body,
)
from edge_runtime.server.orders import Orders
from edge_runtime.server.said import Done, Event
from edge_runtime.server.wire import Message, WireBroken, packed, received

Told = Event | EdgeVLError
# Large blocks go back to the system when a picture is done with; glibc would keep them, for each of its threads anew.
THRIFTY = {"MALLOC_MMAP_THRESHOLD_": str(1 << 20), "MALLOC_ARENA_MAX": "4", "TOKENIZERS_PARALLELISM": "false"}
# What letters raise at a message of another version: `--worker-python` may have one.
NOT_AS_AGREED = (AttributeError, LookupError, TypeError, ValueError)
ENDING_S = 2.0  # that a worker whose socket was closed is given to end by itself


class Life:
    """`facts` are there once it is ready, `failed` where it could not open. `hear` is called whenever either, or the
    state, changes. When it is over whoever waits for something is told so."""

    def __init__(
        self,
        process: Process,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        hear: Callable[[], None],
    ) -> None:
        self.process = process
        self.facts: EngineFacts | None = None
        self.failed: EdgeVLError | None = None
        self.state = EngineState()
        self.heard_at = asyncio.get_running_loop().time()
        self.has_served = False
        self._parting: Callable[[], EdgeVLError] = restarting_error
        self._reader, self._writer, self._hear = reader, writer, hear
        self._numbers = itertools.count(1)
        self._asked: dict[int, asyncio.Queue[Told]] = {}
        self._replies: dict[int, asyncio.Future[object]] = {}
        self._is_over = False

    @property
    def is_ready(self) -> bool:
        return self.facts is not None and not self._is_over

    @classmethod
    async def begun(
        cls,
        command: Sequence[str],
        environment: Mapping[str, str],
        orders: Orders,
        hear: Callable[[], None],
    ) -> Life:
        """Its signals are not ours: it is in a session of its own, and ends when the socket is closed."""
        ours, its = socket.socketpair()
        with its:
            try:
                process = await asyncio.create_subprocess_exec(
                    *command, stdin=its.fileno(), env={**environment, **THRIFTY}, start_new_session=True
                )
            except BaseException:  # we may be stopped here too
                ours.close()
                raise
        try:
            reader, writer = await asyncio.open_connection(sock=ours)
        except BaseException:  # we are stopped here: it is nobody's child then
            ours.close()
            process.kill()
            await process.wait()
            raise
        life = cls(process, reader, writer, hear)
        life._write(Message("orders", orders.body()))
        return life

    async def lived(self) -> str:
        """Hears it until it ends; how it ended, in words. It is over then, for everybody who asked."""
        why = ""
        try:
            while (message := await received(self._reader)) is not None:
                self.heard_at = asyncio.get_running_loop().time()
                self._take(message)
        except WireBroken as broken:
            why = str(broken)
        finally:
            self._part()
            status = await self._ended()
        return why or ending_of(status)

    @asynccontextmanager
    async def ask(self, asked: Asked) -> AsyncIterator[AsyncIterator[Event]]:
        """Its events. Who leaves before the end cancels it."""
        number, queue = self._number(), asyncio.Queue[Told]()
        self._asked[number] = queue
        try:
            await self._sent(letter_of_question(number, asked))
            yield events_in(queue)
        finally:
            if self._asked.pop(number, None) is not None and not self._is_over:
                self._write(Message("cancel", {"number": number}))

    async def reply(self, kind: str, **body: object) -> object:
        """What the worker says to a small question; an EdgeVLError if it refuses."""
        number = self._number()
        reply = self._replies[number] = asyncio.get_running_loop().create_future()
        reply.add_done_callback(looked_at)
        try:
            await self._sent(Message(kind, {"number": number, **body}))
            return await reply
        finally:
            del self._replies[number]

    def kill(self) -> None:
        """With whatever it started, or was started by: the Python that was asked for may be a script around one."""
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)

    def close(self, parting: Callable[[], EdgeVLError]) -> None:
        """Lets the worker end; whoever waits for something is told why."""
        self._parting = parting
        self._part()

    def _number(self) -> int:
        if self._is_over:
            raise self._parting()
        return next(self._numbers)

    def _take(self, message: Message) -> None:
        try:
            is_news = self._learn(message)
        except NOT_AS_AGREED as error:
            cause = one_line(f"{type(error).__name__}: {error}")
            raise WireBroken(
                f"{message.kind!r} came as no worker of this version says it ({cause})"
            ) from error
        if is_news:
            self._hear()

    def _learn(self, message: Message) -> bool:
        """Whether it is about the worker, not for somebody who asked."""
        if message.kind in ("piece", "done", "fault", "reply"):
            self._deliver(int(str(message.body["number"])), message)
            return False
        if message.kind == "state" and message.body:
            self.state = state_of_body(message.body)
        elif message.kind == "ready":
            self.facts = facts_of_body(message.body)
        elif message.kind == "failed":
            self.failed = error_of(message.body)
        return True

    def _deliver(self, number: int, message: Message) -> None:
        """What is of a question that was left goes nowhere."""
        if (reply := self._replies.get(number)) is not None and not reply.done():
            if message.kind == "fault":
                reply.set_exception(error_of(message.body))
            else:
                reply.set_result(message.body["value"])
        elif (queue := self._asked.get(number)) is not None:
            told = error_of(message.body) if message.kind == "fault" else event_of_letter(message)
            self.has_served |= message.kind == "done"
            queue.put_nowait(told)
            if message.kind != "piece":
                del self._asked[number]

    async def _sent(self, message: Message) -> None:
        self._write(message)
        try:
            await self._writer.drain()
        except ConnectionError:
            raise self._parting() from None

    def _write(self, message: Message) -> None:
        for part in packed(message):
            self._writer.write(part)

    def _part(self) -> None:
        """Once or several times. What is unsent stays so: a worker that does not read would never let it go."""
        self._is_over = True
        for queue in self._asked.values():
            queue.put_nowait(self._parting())
        for reply in self._replies.values():
            if not reply.done():
                reply.set_exception(self._parting())
        self._asked.clear()
        self._writer.transport.abort()

    async def _ended(self) -> int:
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()
        try:
            return await asyncio.wait_for(self.process.wait(), ENDING_S)
        except asyncio.TimeoutError:
            self.kill()
            return await self.process.wait()


async def events_in(queue: asyncio.Queue[Told]) -> AsyncIterator[Event]:
    while True:
        event = await queue.get()
        if isinstance(event, EdgeVLError):
            raise event
        yield event
        if isinstance(event, Done):
            return


def looked_at(reply: asyncio.Future[object]) -> None:
    """Also where nobody waits any more: asyncio complains of a fault that nobody saw."""
    if not reply.cancelled():
        reply.exception()


def ending_of(status: int) -> str:
    return f"it was ended by {signal_name(-status)}" if status < 0 else f"it ended with status {status}"


def restarting_error() -> MachineFault:
    what, why = "the engine is not there", "it is being started again"
    return MachineFault("EVL-ENGINE-RESTARTING", what, why, "ask again in a few seconds")


def stopping_error() -> MachineFault:
    what, why = "the answer was ended", "the server is stopping"
    return MachineFault("EVL-ENGINE-STOPPING", what, why, "ask again when it has been started again")


def numbers_of(value: object) -> Sequence[int]:
    assert isinstance(value, list), "the worker replies with what was asked for"
    return value
