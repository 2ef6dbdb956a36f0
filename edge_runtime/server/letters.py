"""Questions, events and states as messages, and back. Both sides are of one version, which is why nothing is optional."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from edge_runtime.errors import EdgeVLError, MachineFault
from edge_runtime.record import MismatchError, read_value
from edge_runtime.server.asked import Asked, AskedFormat, AskedTurn, Prompt, Sampled
from edge_runtime.server.engine import EngineFacts, EngineState
from edge_runtime.server.said import Done, Event, Piece, TokenChance, TokenScore
from edge_runtime.server.wire import Message

Body = Mapping[str, Any]


def letter_of_question(number: int, asked: Asked) -> Message:
    body = asdict(asked) | {"number": number}
    del body["pictures"]
    return Message("ask", body, asked.pictures)


def question_of_letter(message: Message) -> Asked:
    body: Body = message.body
    held_to = body["held_to"]
    return Asked(
        prompt=prompt_of(body["prompt"]),
        pictures=message.files,
        max_tokens=body["max_tokens"],
        sampled=Sampled(**body["sampled"]),
        stop=tuple(body["stop"]),
        held_to=held_to and AskedFormat(held_to["kind"], tuple(held_to["texts"])),
        logprobs=body["logprobs"],
        has_end=body["has_end"],
        client=body["client"],
    )


def prompt_of(body: Body) -> Prompt:
    raw = body["raw"]
    return Prompt(
        turns=tuple(AskedTurn(**turn) for turn in body["turns"]),
        system=body["system"],
        raw=tuple(raw) if isinstance(raw, list) else raw,
    )


def letter_of_event(number: int, event: Event) -> Message:
    if isinstance(event, Done):
        return Message("done", {"number": number, **asdict(event)})
    scores = [[body_of_chance(score.chosen), *map(body_of_chance, score.likeliest)] for score in event.scores]
    return Message("piece", {"number": number, "text": event.text, "scores": scores})


def event_of_letter(message: Message) -> Event:
    body = {name: value for name, value in message.body.items() if name != "number"}
    if message.kind == "done":
        return Done(**body)  # type: ignore[arg-type]  # it was one on the other side
    return Piece(str(body["text"]), scores_of(body["scores"]))


def scores_of(rows: Any) -> tuple[TokenScore, ...]:
    return tuple(TokenScore(chance_of(row[0]), tuple(map(chance_of, row[1:]))) for row in rows)


def body_of_chance(chance: TokenChance) -> list[object]:
    return [chance.id, chance.raw.hex(), chance.logprob]


def chance_of(body: Sequence[Any]) -> TokenChance:
    return TokenChance(body[0], bytes.fromhex(body[1]), body[2])


def letter_of_fault(number: int, error: EdgeVLError) -> Message:
    return Message("fault", {"number": number, **body_of_error(error)})


def body_of_error(error: EdgeVLError) -> dict[str, object]:
    is_machines = isinstance(error, MachineFault)
    words = {"code": error.code, "what": error.what, "why": error.why, "fix": error.fix}
    return {**words, "is_machines": is_machines}


def error_of(body: Body) -> EdgeVLError:
    kind = MachineFault if body["is_machines"] else EdgeVLError
    return kind(body["code"], body["what"], body["why"], body["fix"])


def facts_of_body(body: Body) -> EngineFacts:
    return EngineFacts(**body)


def state_of_body(body: Body) -> EngineState:
    """Looked at closely: a figure that is none would end whoever watches over the worker."""
    try:
        state = read_value(EngineState, dict(body), "")
    except MismatchError as error:
        raise ValueError(f"{error.path} {error}") from error
    assert isinstance(state, EngineState)
    return state
