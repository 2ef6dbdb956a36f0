"""/v1/responses."""

from __future__ import annotations

from typing import Any

import pytest

from edge_runtime.errors import MachineFault
from edge_runtime.server.asked import AskedFormat, AskedTurn, Prompt
from tests.edge_runtime.server.fake_engine import IMAGE_TOKENS, TIMINGS
from tests.edge_runtime.server.http.house import DATA_URL, RESPONSES, House, posted, response


def test_an_answer_has_openais_form() -> None:
    told = posted(RESPONSES, response("abc", max_output_tokens=9, store=True)).json
    assert told["id"].startswith("resp-")
    assert (told["object"], told["status"], told["store"]) == ("response", "completed", False)
    (message,) = told["output"]
    assert (message["type"], message["role"], message["status"]) == ("message", "assistant", "completed")
    assert message["content"] == [
        {"type": "output_text", "text": "It is red.", "annotations": [], "logprobs": []}
    ]
    assert (told["usage"]["input_tokens"], told["usage"]["output_tokens"]) == (3, 3)
    assert told["timings_ms"] == TIMINGS


def test_what_is_sent_is_a_conversation() -> None:
    house = House()
    image = {"type": "input_image", "image_url": DATA_URL}
    sent = [
        {"role": "system", "content": [{"type": "input_text", "text": "calm"}]},
        {"type": "message", "role": "user", "content": [image, {"type": "input_text", "text": "a"}]},
        {"role": "assistant", "content": [{"type": "output_text", "text": "b", "annotations": []}]},
        {"role": "user", "content": "c"},
    ]
    told = posted(RESPONSES, response(sent, instructions="be"), house).json
    (asked,) = house.engine.asked
    turns = (AskedTurn("user", "a", 1), AskedTurn("assistant", "b"), AskedTurn("user", "c"))
    assert asked.prompt == Prompt(turns, "be\ncalm")
    assert asked.pictures == (DATA_URL.encode(),)
    assert told["usage"]["input_tokens_details"]["image_tokens"] == IMAGE_TOKENS


@pytest.mark.parametrize(
    ("form", "held_to"),
    [
        ({"type": "text"}, None),
        ({"type": "json_object"}, AskedFormat("schema", ('{"type": "object"}',))),
        ({"type": "json_schema", "name": "x", "schema": {}}, AskedFormat("schema", ("{}",))),
    ],
)
def test_an_answer_is_held_to_what_was_asked_for(form: object, held_to: AskedFormat | None) -> None:
    house = House()
    assert posted(RESPONSES, response(text={"format": form}), house).status == 200
    assert house.engine.asked[0].held_to == held_to


def test_a_stream_tells_every_step_under_its_name() -> None:
    reply = posted(RESPONSES, response(stream=True))
    names = [line[7:] for line in reply.text.split("\n") if line.startswith("event: ")]
    assert names == [event["type"] for event in reply.events]
    assert names == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        *["response.output_text.delta"] * 3,
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert [event["sequence_number"] for event in reply.events] == list(range(len(names)))
    assert reply.events[-1]["response"]["output"][0]["content"][0]["text"] == "It is red."
    assert reply.events[0]["response"]["output"] == []


def test_a_fault_in_the_middle_is_an_event() -> None:
    house = House()
    house.engine.gated = 1
    house.engine.fault = MachineFault("EVL-ENGINE-RESTARTING", "gone", "killed", "wait")
    last = posted(RESPONSES, response(stream=True), house).events[-1]
    assert (last["type"], last["code"]) == ("error", "engine_restarting")


WRONG: list[tuple[str, Any]] = [
    ("input", None),
    ("input", []),
    ("input", [{"role": "user", "content": [{"type": "text", "text": "x"}]}]),
    ("tools", [{"type": "web_search"}]),
    ("previous_response_id", "resp-1"),
    ("conversation", "conv-1"),
    ("background", True),
    ("max_output_tokens", 0),
    ("temperature", 3),
]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_value_that_cannot_be_used_is_refused_by_its_name(name: str, value: object) -> None:
    reply = posted(RESPONSES, response() | {name: value})
    assert reply.status == 400
    assert reply.json["error"]["param"].split(".")[0] == name


def test_what_is_wrong_with_the_conversation_is_told_of_the_field_it_came_in() -> None:
    reply = posted(RESPONSES, response([{"role": "assistant", "content": "hi"}]))
    error = reply.json["error"]
    assert (reply.status, error["code"], error["param"]) == (400, "EVL-PROMPT-ROLES", "input")


@pytest.mark.parametrize("instructions", [None, "be calm"])
def test_as_many_messages_are_taken_with_instructions_as_without(instructions: str | None) -> None:
    sent = [{"role": "user", "content": "a"}] * 1023
    assert posted(RESPONSES, response(sent, instructions=instructions)).status == 200
    reply = posted(RESPONSES, response([*sent, *sent[:1]], instructions=instructions))
    assert (reply.status, reply.json["error"]["param"]) == (400, "input")
    assert "1023" in reply.json["error"]["message"]
