"""What /v1/completions answers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Literal

from pydantic import BaseModel

from edge_runtime.server.http.asking import Heard
from edge_runtime.server.http.errors import Fault
from edge_runtime.server.http.logprobs import CompletionLogprobs, completion_logprobs, text_of
from edge_runtime.server.http.sse import DONE, frame
from edge_runtime.server.http.telling import Answered, Told
from edge_runtime.server.http.usage import Timings, Usage, timings_of, usage_of
from edge_runtime.server.said import Done, Piece, TokenScore


class CompletionChoice(BaseModel):
    index: int
    text: str
    logprobs: CompletionLogprobs | None
    finish_reason: Literal["stop", "length"]


class Completion(BaseModel):
    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    system_fingerprint: str
    choices: list[CompletionChoice]
    usage: Usage
    timings_ms: Timings


class CompletionTelling:
    """`answers` is n: so many to each prompt."""

    asked_in = "prompt"

    def __init__(
        self, head: Told, answers: int = 1, has_logprobs: bool = False, has_usage: bool = False
    ) -> None:
        self._head = {**head, "object": "text_completion"}
        self._answers = answers
        self._has_logprobs = has_logprobs
        self._has_usage = has_usage
        self._offsets: defaultdict[int, int] = defaultdict(int)

    def whole(self, answers: Sequence[Answered]) -> Told:
        dones = [each.end for each in answers]
        return {
            **self._head,
            "choices": [
                self._choice(index, each.text, each.scores, each.end.finish_reason)
                for index, each in enumerate(answers)
            ],
            "usage": usage_of(dones, self._answers).model_dump(),
            "timings_ms": timings_of(dones),
        }

    def heard(self, heard: Heard) -> Iterator[bytes]:
        place, event = heard
        if isinstance(event, Piece):
            if event.text or (event.scores and self._has_logprobs):
                yield self._chunk([self._choice(place, event.text, event.scores, None)])
        else:
            ending = self._choice(place, "", (), event.finish_reason)
            yield self._chunk([{**ending, "logprobs": None}], timings_ms=dict(event.timings_ms))

    def over(self, dones: Sequence[Done]) -> Iterator[bytes]:
        if self._has_usage:
            usage = usage_of(dones, self._answers).model_dump()
            yield self._chunk([], usage=usage, timings_ms=timings_of(dones))
        yield DONE

    def faulty(self, fault: Fault) -> bytes:
        return frame(fault.body) + DONE

    def _choice(self, place: int, text: str, scores: Sequence[TokenScore], reason: str | None) -> Told:
        return {
            "index": place,
            "text": text,
            "logprobs": self._logprobs(place, scores) if self._has_logprobs else None,
            "finish_reason": reason,
        }

    def _logprobs(self, place: int, scores: Sequence[TokenScore]) -> Told:
        found = completion_logprobs(scores, self._offsets[place])
        self._offsets[place] += sum(len(text_of(score.chosen)) for score in scores)
        return found.model_dump()

    def _chunk(self, choices: Sequence[Told], **more: object) -> bytes:
        usage = {"usage": None} if self._has_usage else {}
        return frame({**self._head, "choices": choices, **usage, **more})
