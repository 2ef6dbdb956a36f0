"""What a request took: tokens and time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import BaseModel

from edge_runtime.server.said import Done

Timings = dict[str, float]


class PromptDetails(BaseModel):
    cached_tokens: int
    image_tokens: int


class Usage(BaseModel):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptDetails


def usage_of(dones: Sequence[Done], answers: int) -> Usage:
    """A prompt counts once, however many answers were given to it; they stand beside each other."""
    firsts = dones[::answers]
    prompt = sum(done.prompt_tokens for done in firsts)
    completion = sum(done.completion_tokens for done in dones)
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=prompt + completion,
        prompt_tokens_details=PromptDetails(
            cached_tokens=sum(done.cached_tokens for done in firsts),
            image_tokens=sum(done.image_tokens for done in firsts),
        ),
    )


def timings_of(dones: Sequence[Done]) -> Timings:
    """Of the answer that took longest."""
    slowest = max(dones, key=lambda done: done.timings_ms.get("total", 0.0))
    return dict(slowest.timings_ms)


def server_timing(timings_ms: Mapping[str, float]) -> str:
    """As the header of that name has it."""
    return ", ".join(f"{stage};dur={spent_ms:.1f}" for stage, spent_ms in timings_ms.items())
