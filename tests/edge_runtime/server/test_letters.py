"""Questions, events and faults on the wire."""

from __future__ import annotations

import pytest

from edge_runtime.errors import EdgeVLError, MachineFault
from edge_runtime.server.asked import Asked, AskedFormat, AskedTurn, Prompt, Sampled
from edge_runtime.server.letters import (
    error_of,
    event_of_letter,
    letter_of_event,
    letter_of_fault,
    letter_of_question,
    prompt_of,
    question_of_letter,
)
from edge_runtime.server.said import Done, Event, Piece, TokenChance, TokenScore
from edge_runtime.server.wire import Head, Message, packed

QUESTIONS = [
    Asked(
        Prompt(
            (AskedTurn("user", "What is it?", 2), AskedTurn("assistant", "Red."), AskedTurn("user", "Why?"))
        )
    ),
    Asked(
        Prompt((AskedTurn("user", "Zähl."),), system=""),
        (b"one", b"two"),
        7,
        Sampled(0.5, 3, 0.9, 1.1, 1 << 63),
        ("\n", "stop"),
        AskedFormat("choice", ("a", "b")),
        4,
        False,
        "the kiosk",
    ),
    Asked(Prompt(raw="once upon"), held_to=AskedFormat("schema", ("{}",))),
    Asked(Prompt(raw=(1, 2, 3)), logprobs=0),
]
EVENTS = [
    Piece("é"),
    Piece("", (TokenScore(TokenChance(3, b"\xc3", -0.5), (TokenChance(4, b"", -9999.0),)),)),
    Done("length", 5, 4, 3, 2, {"total": 1.5}, 8.25),
]


def sent(message: Message) -> Message:
    """As it is on the other side."""
    first, *files = packed(message)
    return Head(first[4:]).message(files)


@pytest.mark.parametrize("asked", QUESTIONS)
def test_a_question_is_the_same_on_the_other_side(asked: Asked) -> None:
    assert question_of_letter(sent(letter_of_question(9, asked))) == asked


@pytest.mark.parametrize("event", EVENTS)
def test_an_event_is_the_same_on_the_other_side(event: Event) -> None:
    message = sent(letter_of_event(9, event))
    assert (message.body["number"], event_of_letter(message)) == (9, event)


@pytest.mark.parametrize("kind", [EdgeVLError, MachineFault])
def test_whose_mistake_it_was_is_told_with_a_fault(kind: type[EdgeVLError]) -> None:
    error = error_of(sent(letter_of_fault(9, kind("EVL-X", "what", "why", "do"))).body)
    assert (type(error), error.code, error.what, error.why, error.fix) == (kind, "EVL-X", "what", "why", "do")


def test_a_prompt_of_ids_stays_one() -> None:
    message = sent(Message("ids", {"prompt": {"turns": [], "system": None, "raw": [5, 6]}}))
    assert prompt_of(message.body["prompt"]) == Prompt(raw=(5, 6))  # type: ignore[arg-type]
