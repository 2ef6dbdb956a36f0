"""Fields of a chat request that cannot be used are refused by their name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from edge_runtime.server.http.chat_form import ChatForm
from edge_runtime.server.http.completion_form import CompletionForm
from edge_runtime.server.http.responses_form import ResponseForm
from edge_runtime.server.http.tokens import DetokenizeForm, TokenizeForm
from tests.edge_runtime.server.http.house import (
    CHAT,
    COMPLETIONS,
    RESPONSES,
    House,
    chat,
    completion,
    picture_part,
    posted,
    response,
)

WRONG: list[tuple[str, Any]] = [
    ("max_tokens", 0),
    ("max_tokens", -1),
    ("max_tokens", 1 << 30),
    ("max_tokens", "9"),
    ("max_tokens", 1.5),
    ("max_tokens", True),
    ("max_completion_tokens", 0),
    ("temperature", 9),
    ("temperature", -0.1),
    ("temperature", "hot"),
    ("top_p", 0),
    ("top_p", 1.1),
    ("top_k", -2),
    ("repetition_penalty", 0),
    ("seed", 1 << 64),
    ("seed", "x"),
    ("n", 0),
    ("n", 5),
    ("n", 1000),
    ("stop", [""]),
    ("stop", ""),
    ("stop", ["x"] * 10_000),
    ("stop", ["x" * 1025]),
    ("stop", [1]),
    ("stop", 1),
    ("stream", "yes"),
    ("top_logprobs", 21),
    ("logprobs", 3),
    ("response_format", {"type": "xml"}),
    ("response_format", "json"),
    ("guided_regex", "x" * 4097),
    ("guided_choice", []),
    ("messages", []),
    ("messages", "hello"),
    ("messages", None),
    ("model", None),
    ("model", 3),
]


@pytest.mark.parametrize(("name", "value"), WRONG, ids=lambda each: str(each)[:20])
def test_a_value_that_cannot_be_used_is_refused_by_its_name(name: str, value: object) -> None:
    house = House()
    reply = posted(CHAT, chat() | {name: value}, house)
    assert reply.status == 400
    error = reply.json["error"]
    assert error["param"].split(".")[0] == name
    assert error["type"] == "invalid_request_error"
    assert error["message"].startswith(name)
    assert house.engine.asked == []


NOT_HERE: list[tuple[str, Any]] = [
    ("tools", [{"type": "function", "function": {"name": "x"}}]),
    ("tool_choice", "required"),
    ("functions", [{"name": "x"}]),
    ("function_call", {"name": "x"}),
    ("audio", {"voice": "alloy"}),
    ("modalities", ["text", "audio"]),
    ("prediction", {"type": "content"}),
    ("web_search_options", {}),
    ("logit_bias", {"50256": -100}),
    ("presence_penalty", 0.5),
    ("frequency_penalty", -1),
]


@pytest.mark.parametrize(("name", "value"), NOT_HERE)
def test_what_this_server_has_not_is_never_ignored(name: str, value: object) -> None:
    reply = posted(CHAT, chat(**{name: value}))
    assert reply.status == 400
    assert reply.json["error"]["param"].split(".")[0] == name
    assert (
        "support" in reply.json["error"]["message"] or "nothing is searched" in reply.json["error"]["message"]
    )


def test_what_this_server_has_not_may_be_left_empty() -> None:
    empty = {"tools": [], "tool_choice": "none", "functions": None, "audio": None, "modalities": ["text"]}
    neutral = {"logit_bias": {}, "presence_penalty": 0, "frequency_penalty": 0.0, "prediction": None}
    assert posted(CHAT, chat(**empty, **neutral)).status == 200


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"stream_options": {"include_usage": True}, "stream": False}, "stream_options"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"top_logprobs": 0, "logprobs": False}, "top_logprobs"),
    ],
)
def test_fields_that_mean_nothing_alone_are_refused(fields: dict[str, object], param: str) -> None:
    reply = posted(CHAT, chat(**fields))
    assert (reply.status, reply.json["error"]["param"]) == (400, param)


def test_a_picture_in_an_older_form_is_answered_with_the_right_one() -> None:
    part = {"type": "image_url", "image_url": "data:image/png;base64,AAAA"}
    error = posted(CHAT, chat([part])).json["error"]
    assert '"image_url": {"url": "data:image/png;base64,..."}' in error["message"]
    assert error["param"] == "messages.0.content.0.image_url"


@pytest.mark.parametrize("detail", ["auto", "low", "high", None])
def test_how_closely_a_picture_is_to_be_looked_at_is_accepted(detail: str | None) -> None:
    assert posted(CHAT, chat([picture_part(detail=detail)])).status == 200


def test_a_missing_model_is_a_missing_field_and_another_model_is_not_found() -> None:
    body = chat()
    del body["model"]
    missing, other = posted(CHAT, body), posted(CHAT, chat() | {"model": "gpt-4o"})
    assert (missing.status, missing.json["error"]["param"]) == (400, "model")
    assert (other.status, other.json["error"]["code"]) == (404, "model_not_found")
    assert "fake-vl" in other.json["error"]["message"]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"stop": ["a"] * 17}, "it should have at most 16 items"),
        ({"messages": [{"role": "user", "content": []}]}, "it should have at least 1 item"),
    ],
)
def test_of_a_list_that_cannot_be_used_its_length_is_told_and_not_that_a_text_was_wanted(
    fields: dict[str, object], words: str
) -> None:
    assert words in posted(CHAT, chat() | fields).json["error"]["message"]


def test_what_was_wanted_is_told_as_json_has_it() -> None:
    told = posted(COMPLETIONS, completion(echo=True)).json["error"]["message"]
    assert "wanted false" in told


Body = dict[str, object]


def said(role: str, content: object) -> list[Body]:
    return [{"role": role, "content": content}]


MANY_TIMES = 10_000
# A form, its path, and a body in which one value is wrong as often as it is told to be.
MANY: list[tuple[type[BaseModel], str, Callable[[int], Body]]] = [
    *(
        (ChatForm, CHAT, lambda count, role=role: chat() | {"messages": said(role, [{}] * count)})
        for role in ("system", "user", "assistant")
    ),
    (ChatForm, CHAT, lambda count: chat() | {"messages": [{}] * min(count, 1000)}),
    (CompletionForm, COMPLETIONS, lambda count: completion([-1] * count)),
    (CompletionForm, COMPLETIONS, lambda count: completion([[-1] * (count // 4 + 1)] * 4)),
    *(
        (ResponseForm, RESPONSES, lambda count, role=role: response(said(role, [{}] * count)))
        for role in ("system", "user", "assistant")
    ),
    (ResponseForm, RESPONSES, lambda count: response([{}] * min(count, 1000))),
    (TokenizeForm, "/tokenize", lambda count: {"messages": said("user", [{}] * count)}),
    (DetokenizeForm, "/detokenize", lambda count: {"tokens": [-1] * count}),
]


@pytest.mark.parametrize(("form", "path", "body"), MANY)
def test_of_many_faults_of_one_kind_the_first_is_looked_at(
    form: type[BaseModel], path: str, body: Callable[[int], Body]
) -> None:
    with pytest.raises(ValidationError) as caught:
        form.model_validate(body(MANY_TIMES))
    assert caught.value.error_count() < 10
    one, many = posted(path, body(1)).json["error"], posted(path, body(MANY_TIMES)).json["error"]
    assert many == one
