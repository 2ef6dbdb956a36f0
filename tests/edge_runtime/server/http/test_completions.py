"""/v1/completions, as a whole."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from edge_runtime.server.asked import Asked
from edge_runtime.server.said import Done, Event, Piece, TokenChance, TokenScore
from tests.edge_runtime.server.fake_engine import TIMINGS, FakeEngine
from tests.edge_runtime.server.http.house import COMPLETIONS, NOW_S, House, completion, posted


def test_an_answer_has_openais_form() -> None:
    reply = posted(COMPLETIONS, completion("abc"))
    told = reply.json
    assert told["id"].startswith("cmpl-")
    assert (told["object"], told["created"], told["model"]) == ("text_completion", int(NOW_S), "fake-vl")
    assert told["choices"] == [{"index": 0, "text": "It is red.", "logprobs": None, "finish_reason": "stop"}]
    assert told["usage"]["total_tokens"] == 6
    assert told["timings_ms"] == TIMINGS
    assert "decode;dur=4.0" in reply.headers["server-timing"]


@pytest.mark.parametrize(
    ("prompt", "raws"),
    [
        ("a", ["a"]),
        ("", [""]),
        (["a", "b"], ["a", "b"]),
        ([1, 2], [(1, 2)]),
        ([[1], [2, 3]], [(1,), (2, 3)]),
    ],
)
def test_a_prompt_is_a_text_or_ids_or_several_of_them(prompt: object, raws: list[object]) -> None:
    house = House()
    told = posted(COMPLETIONS, completion(prompt), house).json
    assert [asked.prompt.raw for asked in house.engine.asked] == raws
    assert [choice["index"] for choice in told["choices"]] == list(range(len(raws)))


def test_as_few_tokens_are_answered_as_openai_does_unless_asked_for_more() -> None:
    house = House()
    posted(COMPLETIONS, completion(), house)
    posted(COMPLETIONS, completion(max_tokens=99), house)
    assert [asked.max_tokens for asked in house.engine.asked] == [16, 99]


def test_usage_counts_every_prompt_once() -> None:
    usage = posted(COMPLETIONS, completion(["ab", "cde"], n=2)).json["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (5, 12)


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"prompt": None}, "prompt"),
    ({"prompt": []}, "prompt"),
    ({"prompt": [[]]}, "prompt"),
    ({"prompt": [-1]}, "prompt"),
    ({"prompt": [1 << 32]}, "prompt"),
    ({"prompt": ["a"] * 5}, "prompt"),
    ({"prompt": ["a"] * 3, "n": 2}, "n"),
    ({"n": 5}, "n"),
    ({"logprobs": 6}, "logprobs"),
    ({"logprobs": True}, "logprobs"),
    ({"best_of": 2}, "best_of"),
    ({"echo": True}, "echo"),
    ({"echo": 0}, "echo"),
    ({"suffix": "x"}, "suffix"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"stream_options": {}}, "stream_options"),
    ({"presence_penalty": 1}, "presence_penalty"),
]


@pytest.mark.parametrize(("fields", "param"), WRONG)
def test_a_value_that_cannot_be_used_is_refused_by_its_name(fields: dict[str, object], param: str) -> None:
    house = House()
    reply = posted(COMPLETIONS, completion() | fields, house)
    assert reply.status == 400
    assert reply.json["error"]["param"].split(".")[0] == param
    assert house.engine.asked == []


def test_what_this_server_has_not_may_be_left_empty() -> None:
    assert posted(COMPLETIONS, completion(echo=False, suffix="", best_of=1, logit_bias={})).status == 200


class ScoringEngine(FakeEngine):
    async def _events(self, asked: Asked) -> AsyncIterator[Event]:
        likeliest = (TokenChance(2, b"Its", -0.25), TokenChance(3, b"A", -3.0))
        yield Piece("It", (TokenScore(TokenChance(1, b"It", -1.0), likeliest[: asked.logprobs]),))
        yield Piece(" is", (TokenScore(TokenChance(4, b" is", -0.5)),))
        yield Done("length", 1, 0, 0, 2, TIMINGS)


def test_how_likely_tokens_were_is_told_in_the_older_form() -> None:
    told = posted(COMPLETIONS, completion(logprobs=1), House(engine=ScoringEngine())).json
    assert told["choices"][0]["logprobs"] == {
        "tokens": ["It", " is"],
        "token_logprobs": [-1.0, -0.5],
        "top_logprobs": [{"Its": -0.25, "It": -1.0}, {" is": -0.5}],
        "text_offset": [0, 2],
    }


def test_in_a_stream_offsets_go_on_where_the_text_does() -> None:
    reply = posted(COMPLETIONS, completion(logprobs=0, stream=True), House(engine=ScoringEngine()))
    first, second, last = [event["choices"][0]["logprobs"] for event in reply.events]
    assert (first["text_offset"], second["text_offset"], last) == ([0], [2], None)
