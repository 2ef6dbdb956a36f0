"""The questions of one request, asked side by side, and what comes back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import NamedTuple

from edge_runtime.errors import EdgeVLError, MachineFault
from edge_runtime.server.admission import Admission
from edge_runtime.server.asked import Asked, Prompt
from edge_runtime.server.engine import Engine
from edge_runtime.server.http.length import check_length, length_of
from edge_runtime.server.http.parts import AppParts
from edge_runtime.server.meter import Meter
from edge_runtime.server.said import Done, Event, Piece
from edge_runtime.server.watch import Watch

EVENTS_AHEAD = 16  # of the asker; the engine's side waits then
USUAL_ANSWER = 512  # tokens, where nothing was asked for
BYTES_PER_TOKEN = 3  # a little less than texts have, so that they are rather overrated


class Heard(NamedTuple):
    """`place` is the question's among those of the request."""

    place: int
    event: Event


@dataclass(frozen=True)
class Inquiry:
    """`asks` are still without pictures; those at `urls` belong to every one of them."""

    asks: tuple[Asked, ...]
    urls: tuple[str, ...] = ()

    def tokens(self, image_tokens: int) -> int:
        """About what it takes."""
        return sum(
            text_tokens(asked.prompt)
            + image_tokens * asked.prompt.image_count
            + (asked.max_tokens or USUAL_ANSWER)
            for asked in self.asks
        )


def text_tokens(prompt: Prompt) -> int:
    if isinstance(prompt.raw, tuple):
        return len(prompt.raw)
    return length_of(prompt) // BYTES_PER_TOKEN + 1


@asynccontextmanager
async def conducted(parts: AppParts, inquiry: Inquiry) -> AsyncIterator[AsyncIterator[Heard]]:
    """What is heard until every question is answered. Leaving early cancels them. Raises what goes wrong: Refusal, what
    is the matter with the images, what the engine raises."""
    facts = parts.engine.facts
    for asked in inquiry.asks:
        check_length(asked.prompt, facts)
    tokens = inquiry.tokens(facts.image_tokens if facts else 0)
    if facts:
        parts.admission.slots_are(facts.slots)
    with parts.admission.admitted(len(inquiry.asks), tokens):
        pictures = await parts.images.files(inquiry.urls)
        desk = Desk(parts.engine, parts.meter, parts.admission)
        tasks = [
            asyncio.create_task(desk.answer(place, replace(asked, pictures=pictures)))
            for place, asked in enumerate(inquiry.asks)
        ]
        try:
            yield desk.heard(len(tasks))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


class Desk:
    """Where the answers of one request come together."""

    def __init__(self, engine: Engine, meter: Meter, admission: Admission) -> None:
        self._engine = engine
        self._meter = meter
        self._admission = admission
        self._events: asyncio.Queue[Heard | Exception] = asyncio.Queue(EVENTS_AHEAD)

    async def heard(self, count: int) -> AsyncIterator[Heard]:
        while count:
            event = await self._events.get()
            if isinstance(event, Exception):
                raise event
            count -= isinstance(event.event, Done)
            yield event

    async def answer(self, place: int, asked: Asked) -> None:
        """Told event by event; an error is told as the last of them."""
        watch = self._meter.watch()
        try:
            async with self._engine.ask(asked) as events:
                async for event in events:
                    self._note(watch, event)
                    await self._events.put(Heard(place, event))
                    if isinstance(event, Done):
                        return
            raise unfinished()
        except asyncio.CancelledError:
            watch.left()
            raise
        except Exception as error:  # noqa: BLE001 - it is raised where the answer is waited for
            watch.failed(error.code if isinstance(error, EdgeVLError) else "EVL-INTERNAL")
            await self._events.put(error)

    def _note(self, watch: Watch, event: Event) -> None:
        if isinstance(event, Piece):
            watch.piece(max(len(event.scores), 1))
        else:
            watch.done(event)
            self._admission.served(service_s(event))


def unfinished() -> MachineFault:
    what, why = "an answer has no end", "the engine said no more"
    return MachineFault("EVL-ENGINE-SILENT", what, why, "ask again")


def service_s(done: Done) -> float:
    timings = done.timings_ms
    return max(timings.get("total", 0.0) - timings.get("queue", 0.0), 0.0) / 1000
