"""An answer on its way out, whatever API it was asked through: as a whole or as a stream."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope, Send

from edge_runtime.server.http.asking import Heard, Inquiry, conducted
from edge_runtime.server.http.errors import Fault, fault_of
from edge_runtime.server.http.parts import AppParts
from edge_runtime.server.http.presence import Attended
from edge_runtime.server.http.sse import send_stream
from edge_runtime.server.http.transcript import Transcript
from edge_runtime.server.http.usage import Timings, server_timing, timings_of
from edge_runtime.server.logs import note
from edge_runtime.server.said import Done, Event, Piece, TokenScore

Told = Mapping[str, Any]
# In the scope of a request: the field its question is in; that it was asked, whereupon the meter follows it.
ASKED_IN, ASKED = "edgevl.asked_in", "edgevl.asked"


@dataclass
class Answered:
    """One question's answer, as far as it is known."""

    text: str = ""
    scores: list[TokenScore] = field(default_factory=list)
    done: Done | None = None

    def hear(self, event: Event) -> None:
        if isinstance(event, Piece):
            self.text += event.text
            self.scores += event.scores
        else:
            self.done = event

    @property
    def end(self) -> Done:
        assert self.done is not None, "the answer goes on"
        return self.done


class Telling(Protocol):
    """How the answers to one request are written down. `asked_in` is the field of the request that has the question."""

    asked_in: str

    def whole(self, answers: Sequence[Answered]) -> Told: ...

    def heard(self, heard: Heard) -> Iterator[bytes]:
        """Frames of a stream."""

    def over(self, dones: Sequence[Done]) -> Iterator[bytes]:
        """The frames behind the last answer's."""

    def faulty(self, fault: Fault) -> bytes:
        """The last frames, where it went wrong in the middle."""


def response_to(
    parts: AppParts, request: Request, inquiry: Inquiry, telling: Telling, is_stream: bool
) -> Response:
    sending = Sending(parts, request.scope, inquiry, telling)
    return Attended(sending.stream if is_stream else sending.whole)


class Sending:
    """The answers to one request, sent as they come or once all are there."""

    def __init__(self, parts: AppParts, scope: Scope, inquiry: Inquiry, telling: Telling) -> None:
        self._parts = parts
        self._scope = scope
        self._inquiry = inquiry
        self._telling = telling
        self._transcript = Transcript(inquiry.asks)
        scope[ASKED_IN] = telling.asked_in
        note(scope, content=self._transcript)

    async def whole(self, send: Send) -> None:
        answers = [Answered() for _ in self._inquiry.asks]
        async with conducted(self._parts, self._inquiry) as events:
            self._scope[ASKED] = True
            async for place, event in events:
                self._transcript.hear(place, event)
                answers[place].hear(event)
        dones = [each.end for each in answers]
        self._note(dones)
        await send_json(send, self._telling.whole(answers), timings_of(dones))

    async def stream(self, send: Send) -> None:
        await send_stream(send, self._frames(), self._faulty, self._parts.keep_alive_s)

    async def _frames(self) -> AsyncGenerator[bytes, None]:
        dones: dict[int, Done] = {}
        async with conducted(self._parts, self._inquiry) as events:
            self._scope[ASKED] = True
            async for heard in events:
                self._transcript.hear(*heard)
                if isinstance(heard.event, Done):
                    dones[heard.place] = heard.event
                for each in self._telling.heard(heard):
                    yield each
        in_order = [dones[place] for place in sorted(dones)]
        self._note(in_order)
        for each in self._telling.over(in_order):
            yield each

    def _faulty(self, error: Exception) -> bytes:
        fault = fault_of(error, asked_in=self._telling.asked_in)
        note(self._scope, code=fault.code)
        return self._telling.faulty(fault)

    def _note(self, dones: Sequence[Done]) -> None:
        """For the line that is logged of the request."""
        note(
            self._scope,
            client=self._inquiry.asks[0].client or None,
            prompt_tokens=sum(done.prompt_tokens for done in dones),
            image_tokens=sum(done.image_tokens for done in dones),
            cached_tokens=sum(done.cached_tokens for done in dones),
            completion_tokens=sum(done.completion_tokens for done in dones),
            finish_reason=dones[0].finish_reason,
        )


async def send_json(send: Send, told: Told, timings_ms: Timings) -> None:
    data = json.dumps(told, ensure_ascii=False).encode("utf-8", "replace")
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(data)).encode()),
        (b"server-timing", server_timing(timings_ms).encode()),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": data})
