"""What /v1/responses answers: one message, of one text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

from pydantic import BaseModel

from edge_runtime.server.http.asking import Heard
from edge_runtime.server.http.errors import Fault
from edge_runtime.server.http.sse import frame
from edge_runtime.server.http.telling import Answered, Told
from edge_runtime.server.http.usage import Timings
from edge_runtime.server.said import Done


class OutputPart(BaseModel):
    type: Literal["output_text"]
    text: str
    annotations: list[Any]
    logprobs: list[Any]


class OutputMessage(BaseModel):
    id: str
    type: Literal["message"]
    role: Literal["assistant"]
    status: Literal["in_progress", "completed", "incomplete"]
    content: list[OutputPart]


class InputDetails(BaseModel):
    cached_tokens: int
    image_tokens: int


class OutputDetails(BaseModel):
    reasoning_tokens: int


class ResponseUsage(BaseModel):
    input_tokens: int
    input_tokens_details: InputDetails
    output_tokens: int
    output_tokens_details: OutputDetails
    total_tokens: int


class ModelResponse(BaseModel):
    """Nothing is kept: `store` is always false."""

    id: str
    object: Literal["response"]
    created_at: int
    model: str
    status: Literal["in_progress", "completed", "incomplete"]
    output: list[OutputMessage]
    usage: ResponseUsage | None
    error: None
    incomplete_details: dict[str, str] | None
    instructions: str | None
    max_output_tokens: int | None
    temperature: float
    top_p: float
    metadata: dict[str, str]
    parallel_tool_calls: bool
    tool_choice: str
    tools: list[Any]
    previous_response_id: None
    store: bool
    timings_ms: Timings | None


class ResponseTelling:
    """`head` is what the response says of itself and of its request."""

    asked_in = "input"

    def __init__(self, head: Told, message_id: str) -> None:
        self._head = head
        self._message_id = message_id
        self._answer = Answered()
        self._sent = 0

    def whole(self, answers: Sequence[Answered]) -> Told:
        return self._response(answers[0])

    def heard(self, heard: Heard) -> Iterator[bytes]:
        if not self._sent:
            yield from self._opening()
        self._answer.hear(heard.event)
        if isinstance(heard.event, Done):
            yield from self._closing()
        elif heard.event.text:
            yield self._event(
                "response.output_text.delta", **self._place, delta=heard.event.text, logprobs=[]
            )

    def over(self, dones: Sequence[Done]) -> Iterator[bytes]:  # noqa: ARG002 - the last event says it all
        response = self._response(self._answer)
        yield self._event(f"response.{response['status']}", response=response)

    def faulty(self, fault: Fault) -> bytes:
        return self._event("error", code=fault.code, message=fault.message, param=fault.param)

    @property
    def _place(self) -> Told:
        return {"item_id": self._message_id, "output_index": 0, "content_index": 0}

    def _opening(self) -> Iterator[bytes]:
        response = self._response(self._answer)
        yield self._event("response.created", response=response)
        yield self._event("response.in_progress", response=response)
        item = {**self._message(self._answer), "content": []}
        yield self._event("response.output_item.added", output_index=0, item=item)
        yield self._event("response.content_part.added", **self._place, part=part_of(""))

    def _closing(self) -> Iterator[bytes]:
        text = self._answer.text
        yield self._event("response.output_text.done", **self._place, text=text, logprobs=[])
        yield self._event("response.content_part.done", **self._place, part=part_of(text))
        yield self._event("response.output_item.done", output_index=0, item=self._message(self._answer))

    def _event(self, kind: str, **told: object) -> bytes:
        number, self._sent = self._sent, self._sent + 1
        return frame({"type": kind, "sequence_number": number, **told}, kind)

    def _response(self, answer: Answered) -> dict[str, Any]:
        done, status = answer.done, status_of(answer)
        return {
            **self._head,
            "status": status,
            "output": [self._message(answer)] if done else [],
            "usage": done and usage_of(done),
            "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
            "timings_ms": done and dict(done.timings_ms),
        }

    def _message(self, answer: Answered) -> Told:
        return {
            "id": self._message_id,
            "type": "message",
            "role": "assistant",
            "status": status_of(answer),
            "content": [part_of(answer.text)],
        }


def status_of(answer: Answered) -> str:
    if answer.done is None:
        return "in_progress"
    return "completed" if answer.done.finish_reason == "stop" else "incomplete"


def part_of(text: str) -> Told:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def usage_of(done: Done) -> Told:
    return {
        "input_tokens": done.prompt_tokens,
        "input_tokens_details": {"cached_tokens": done.cached_tokens, "image_tokens": done.image_tokens},
        "output_tokens": done.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": done.prompt_tokens + done.completion_tokens,
    }
