"""What /v1/chat/completions answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from pydantic import BaseModel

from edge_runtime.server.http.asking import Heard
from edge_runtime.server.http.errors import Fault
from edge_runtime.server.http.logprobs import ChatLogprobs, chat_logprobs
from edge_runtime.server.http.sse import DONE, frame
from edge_runtime.server.http.telling import Answered, Told
from edge_runtime.server.http.usage import Timings, Usage, timings_of, usage_of
from edge_runtime.server.said import Done, Piece


class ChatMessage(BaseModel):
    role: Literal["assistant"]
    content: str
    refusal: None


class ChatChoice(BaseModel):
    index: int
    message: ChatMessage
    logprobs: ChatLogprobs | None
    finish_reason: Literal["stop", "length"]


class ChatCompletion(BaseModel):
    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    system_fingerprint: str
    choices: list[ChatChoice]
    usage: Usage
    timings_ms: Timings


class ChatTelling:
    """`answers` is n: so many to one question."""

    asked_in = "messages"

    def __init__(
        self, head: Told, answers: int = 1, has_logprobs: bool = False, has_usage: bool = False
    ) -> None:
        self._head = head
        self._answers = answers
        self._has_logprobs = has_logprobs
        self._has_usage = has_usage
        self._begun: set[int] = set()

    def whole(self, answers: Sequence[Answered]) -> Told:
        dones = [each.end for each in answers]
        return {
            **self._head,
            "object": "chat.completion",
            "choices": [self._choice(index, each) for index, each in enumerate(answers)],
            "usage": usage_of(dones, self._answers).model_dump(),
            "timings_ms": timings_of(dones),
        }

    def _choice(self, index: int, answer: Answered) -> Told:
        return {
            "index": index,
            "message": {"role": "assistant", "content": answer.text, "refusal": None},
            "logprobs": chat_logprobs(answer.scores).model_dump() if self._has_logprobs else None,
            "finish_reason": answer.end.finish_reason,
        }

    def heard(self, heard: Heard) -> Iterator[bytes]:
        place, event = heard
        if place not in self._begun:
            self._begun.add(place)
            yield self._chunk([delta(place, {"role": "assistant", "content": "", "refusal": None})])
        if isinstance(event, Done):
            ending = delta(place, {}, finish_reason=event.finish_reason)
            yield self._chunk([ending], timings_ms=dict(event.timings_ms))
        elif event.text or (event.scores and self._has_logprobs):
            yield self._chunk([self._piece(place, event)])

    def _piece(self, place: int, piece: Piece) -> Told:
        logprobs = chat_logprobs(piece.scores).model_dump() if self._has_logprobs else None
        return {**delta(place, {"content": piece.text}), "logprobs": logprobs}

    def over(self, dones: Sequence[Done]) -> Iterator[bytes]:
        if self._has_usage:
            usage = usage_of(dones, self._answers).model_dump()
            yield self._chunk([], usage=usage, timings_ms=timings_of(dones))
        yield DONE

    def faulty(self, fault: Fault) -> bytes:
        return frame(fault.body) + DONE

    def _chunk(self, choices: Sequence[Told], **more: object) -> bytes:
        usage = {"usage": None} if self._has_usage else {}
        return frame({**self._head, "object": "chat.completion.chunk", "choices": choices, **usage, **more})


def delta(place: int, told: Told, finish_reason: str | None = None) -> Told:
    return {"index": place, "delta": told, "logprobs": None, "finish_reason": finish_reason}
