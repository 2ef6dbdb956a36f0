"""From a request's fields to what the engine is asked."""

from __future__ import annotations

from dataclasses import replace

from edge_runtime.server.asked import Asked, Prompt, Sampled
from edge_runtime.server.http.errors import RequestError
from edge_runtime.server.http.fields import SEED_COUNT, AnswerFields
from edge_runtime.server.http.held_to import held_to_of


def question_of(
    fields: AnswerFields, prompt: Prompt, max_tokens: int | None, logprobs: int | None, client: str
) -> Asked:
    """Without pictures yet. Raises RequestError where fields do not go together."""
    if fields.stream_options is not None and not fields.stream:
        raise alone("stream_options", "stream is not true", "set stream to true, or leave stream_options out")
    return Asked(
        prompt=prompt,
        max_tokens=max_tokens,
        sampled=sampled_of(fields),
        stop=fields.stops,
        held_to=held_to_of(fields),
        logprobs=logprobs,
        has_end=not fields.ignore_eos,
        client=client,
    )


def sampled_of(fields: AnswerFields) -> Sampled:
    usual = Sampled()
    penalty = fields.repetition_penalty
    return Sampled(
        temperature=usual.temperature if fields.temperature is None else fields.temperature,
        top_k=max(fields.top_k or 0, 0),
        top_p=usual.top_p if fields.top_p is None else fields.top_p,
        repetition_penalty=usual.repetition_penalty if penalty is None else penalty,
        seed=None if fields.seed is None else fields.seed % SEED_COUNT,
    )


def several(asked: Asked, answers: int) -> tuple[Asked, ...]:
    """The same question as often as it is to be answered, each time with the next seed."""
    seed = asked.sampled.seed
    if seed is None:
        return (asked,) * answers
    seeds = [(seed + place) % SEED_COUNT for place in range(answers)]
    return tuple(replace(asked, sampled=replace(asked.sampled, seed=each)) for each in seeds)


def alone(param: str, why: str, fix: str) -> RequestError:
    return RequestError("EVL-REQUEST-FIELD", f"{param} cannot be used", why, fix, param=param)
