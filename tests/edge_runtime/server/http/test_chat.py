"""/v1/chat/completions, as a whole."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import pytest

from edge_runtime.server.admission import Admission
from edge_runtime.server.asked import Asked, AskedFormat, AskedTurn, Prompt, Sampled
from edge_runtime.server.http.length import LONGEST_TOKEN
from edge_runtime.server.said import Done, Event, Piece, TokenChance, TokenScore
from tests.edge_runtime.server.fake_engine import FACTS, IMAGE_TOKENS, TIMINGS, FakeEngine
from tests.edge_runtime.server.http.asgi import Asker, Reply
from tests.edge_runtime.server.http.house import (
    CHAT,
    COMPLETIONS,
    NOW_S,
    RESPONSES,
    House,
    chat,
    completion,
    picture_part,
    posted,
    response,
    text_part,
)


def test_an_answer_has_openais_form() -> None:
    told = posted(CHAT, chat()).json
    assert told["id"].startswith("chatcmpl-")
    assert (told["object"], told["created"], told["model"]) == ("chat.completion", int(NOW_S), "fake-vl")
    assert told["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "It is red.", "refusal": None},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ]


def test_usage_counts_tokens_of_images_and_of_the_cache() -> None:
    told = posted(CHAT, chat([picture_part(), text_part("abc")])).json
    assert told["usage"] == {
        "prompt_tokens": 3 + IMAGE_TOKENS,
        "completion_tokens": 3,
        "total_tokens": 6 + IMAGE_TOKENS,
        "prompt_tokens_details": {"cached_tokens": 0, "image_tokens": IMAGE_TOKENS},
    }


def test_where_the_time_went_is_told_twice() -> None:
    reply = posted(CHAT, chat())
    assert reply.json["timings_ms"] == TIMINGS
    assert "prefill;dur=3.0, decode;dur=4.0, total;dur=11.0" in reply.headers["server-timing"]


def test_what_is_not_said_is_as_the_product_has_it() -> None:
    house = House()
    posted(CHAT, chat(temperature=None, n=None, stop=None, stream=None, seed=None), house)
    (asked,) = house.engine.asked
    assert asked.sampled == Sampled()
    assert asked.sampled.temperature == 0  # the likeliest token, every time
    assert (asked.max_tokens, asked.stop, asked.held_to, asked.logprobs) == (None, (), None, None)
    assert asked.has_end


def test_every_field_reaches_the_engine() -> None:
    house = House()
    fields = {"temperature": 0.5, "top_p": 0.25, "top_k": 7, "repetition_penalty": 1.5, "seed": 3}
    posted(CHAT, chat(**fields, stop=["a", "b"], max_tokens=9, ignore_eos=True), house)
    (asked,) = house.engine.asked
    assert asked.sampled == Sampled(0.5, 7, 0.25, 1.5, 3)
    assert (asked.stop, asked.max_tokens, asked.has_end) == (("a", "b"), 9, False)


def test_a_whole_number_may_be_written_as_a_fraction() -> None:
    house = House()
    assert posted(CHAT, chat(max_tokens=9.0, top_k=-1), house).status == 200
    assert (house.engine.asked[0].max_tokens, house.engine.asked[0].sampled.top_k) == (9, 0)


def test_the_newer_name_of_max_tokens_counts() -> None:
    house = House()
    posted(CHAT, chat(max_tokens=9, max_completion_tokens=8), house)
    assert house.engine.asked[0].max_tokens == 8


def test_a_negative_seed_is_a_seed() -> None:
    house = House()
    posted(CHAT, chat(seed=-1), house)
    assert house.engine.asked[0].sampled.seed == (1 << 64) - 1


def test_several_answers_are_several_questions_with_seeds_of_their_own() -> None:
    house = House()
    told = posted(CHAT, chat("abc", n=3, seed=5, temperature=1), house).json
    assert [choice["index"] for choice in told["choices"]] == [0, 1, 2]
    assert [asked.sampled.seed for asked in house.engine.asked] == [5, 6, 7]
    assert told["usage"]["prompt_tokens"] == 3  # one prompt
    assert told["usage"]["completion_tokens"] == 9


def test_who_asks_is_told_to_the_engine_and_the_request_names_its_answer() -> None:
    house = House()

    async def ask() -> Reply:
        return await house.post(CHAT, chat(), state={"client": "camera-1", "request_id": "abc"})

    assert asyncio.run(ask()).json["id"] == "chatcmpl-abc"
    assert house.engine.asked[0].client == "camera-1"


def test_pictures_are_brought_to_every_question() -> None:
    house = House()
    posted(CHAT, chat([picture_part("data:1"), text_part("x"), picture_part("data:2")], n=2), house)
    assert [asked.pictures for asked in house.engine.asked] == [(b"data:1", b"data:2")] * 2
    assert house.engine.asked[0].prompt.turns == (AskedTurn("user", "x", 2),)


def test_fields_that_nobody_knows_are_accepted_and_counted() -> None:
    house = House()
    assert posted(CHAT, chat(min_tokens=3, user="me", service_tier="auto"), house).status == 200
    assert house.counted("edgevl_ignored_fields_total") == 3


FORMATS = [
    ({"response_format": {"type": "text"}}, None),
    ({"response_format": {"type": "json_object"}}, AskedFormat("schema", ('{"type": "object"}',))),
    (
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "x", "schema": {"type": "null"}},
            }
        },
        AskedFormat("schema", ('{"type": "null"}',)),
    ),
    ({"guided_json": {"type": "null"}}, AskedFormat("schema", ('{"type": "null"}',))),
    ({"guided_json": "true"}, AskedFormat("schema", ("true",))),
    ({"guided_regex": "a+"}, AskedFormat("regex", ("a+",))),
    ({"guided_choice": ["a", "b"]}, AskedFormat("choice", ("a", "b"))),
    ({"structured_outputs": {"json": {}}}, AskedFormat("schema", ("{}",))),
    ({"structured_outputs": {"regex": "b"}}, AskedFormat("regex", ("b",))),
    ({"structured_outputs": {"choice": ["c"]}}, AskedFormat("choice", ("c",))),
]


@pytest.mark.parametrize(("fields", "wanted"), FORMATS)
def test_an_answer_is_held_to_what_was_asked_for(
    fields: dict[str, object], wanted: AskedFormat | None
) -> None:
    house = House()
    assert posted(CHAT, chat(**fields), house).status == 200
    assert house.engine.asked[0].held_to == wanted


def test_an_answer_is_not_held_to_two_things() -> None:
    reply = posted(CHAT, chat(guided_regex="a", response_format={"type": "json_object"}))
    assert reply.status == 400
    assert reply.json["error"]["param"] == "guided_regex"


class ScoringEngine(FakeEngine):
    async def _events(self, asked: Asked) -> AsyncIterator[Event]:
        half = TokenChance(7, b"\xc3", float("-inf"))
        other = TokenChance(8, b"x", -2.0)
        yield Piece("", (TokenScore(half, (other, half)[: asked.logprobs]),))
        yield Piece("é", (TokenScore(TokenChance(9, b"\xa9", -0.5)),))
        yield Done("length", 1, 0, 0, 2, TIMINGS)


def test_how_likely_tokens_were_is_told_with_their_bytes() -> None:
    told = posted(CHAT, chat(logprobs=True, top_logprobs=1), House(engine=ScoringEngine())).json
    first, second = told["choices"][0]["logprobs"]["content"]
    assert (first["token"], first["bytes"], first["logprob"]) == ("\ufffd", [0xC3], -9999.0)
    assert first["top_logprobs"] == [{"token": "x", "logprob": -2.0, "bytes": [120]}]
    assert (second["logprob"], second["top_logprobs"]) == (-0.5, [])


def test_without_top_logprobs_only_the_tokens_own_are_asked_for() -> None:
    house = House()
    posted(CHAT, chat(logprobs=True), house)
    posted(CHAT, chat(logprobs=False), house)
    assert [asked.logprobs for asked in house.engine.asked] == [0, None]


def test_whoever_leaves_is_not_answered_any_further() -> None:
    house = House()

    async def leave() -> None:
        house.engine.gate.clear()
        asker = Asker()
        asking = asyncio.ensure_future(house.post(CHAT, chat(n=2), asker=asker))
        while len(house.engine.asked) < 2:
            await asyncio.sleep(0)
        asker.goes.set()
        await asking

    asyncio.run(leave())
    assert len(house.engine.left) == 2
    assert (house.admission.questions, house.admission.tokens) == (0, 0)
    assert house.counted("edgevl_requests_in_flight") == 0
    assert house.counted("edgevl_requests_total", finish_reason="abort") == 2


def test_an_answer_that_fails_ends_the_others_of_its_request() -> None:
    house = House()

    class FailingSecond(FakeEngine):
        async def _events(self, asked: Asked) -> AsyncIterator[Event]:
            if len(self.asked) == 2:
                yield Piece("x")
                return
            await asyncio.Event().wait()

    house = House(engine=FailingSecond())
    reply = posted(CHAT, chat(n=2), house)
    assert reply.status == 500
    assert reply.json["error"]["code"] == "EVL-ENGINE-SILENT"
    assert len(house.engine.left) == 2


def test_service_times_are_learned_from_answers() -> None:
    house = House()
    posted(CHAT, chat(), house)
    with house.admission.admitted(1, 1):
        assert house.admission.retry_after_s == 0.25  # 11 ms, and never less than this


@pytest.mark.parametrize("path", [CHAT, COMPLETIONS, RESPONSES, "/tokenize"])
def test_a_text_that_no_context_holds_does_not_reach_the_engine(path: str) -> None:
    class Unasked(FakeEngine):
        async def ids_of(self, prompt: Prompt) -> Sequence[int]:
            raise AssertionError(f"it was asked: {prompt}")

    house, text = House(engine=Unasked()), "\u00e9" * (FACTS.max_context * LONGEST_TOKEN // 2 + 1)
    bodies = {CHAT: chat(text), COMPLETIONS: completion(text), RESPONSES: response(text)}
    reply = posted(path, bodies.get(path, {"prompt": text}), house)
    assert (reply.status, reply.json["error"]["code"]) == (400, "context_length_exceeded")
    assert f"more than {FACTS.max_context} tokens" in reply.json["error"]["message"]
    assert house.engine.asked == []


def test_a_text_that_a_context_might_hold_does() -> None:
    house = House(admission=Admission(slots=2, waiting=6, tokens=1 << 20))
    text = " " * (FACTS.max_context * LONGEST_TOKEN)
    assert posted(CHAT, chat(text), house).status == 200


def test_the_door_counts_the_slots_that_the_engine_has() -> None:
    house = House(admission=Admission(slots=4, waiting=1, tokens=10_000))
    house.engine.facts = replace(FACTS, slots=1)
    house.admission.served(8.0)

    async def three() -> list[Reply]:
        house.engine.gate.clear()
        inside = [asyncio.ensure_future(house.post(CHAT, chat())) for _ in range(2)]
        while len(house.engine.asked) < len(inside):
            await asyncio.sleep(0)
        refused = await asyncio.wait_for(house.post(CHAT, chat()), 10)
        house.engine.gate.set()
        return [*await asyncio.gather(*inside), refused]

    *answered, refused = asyncio.run(three())
    assert [each.status for each in answered] == [200, 200]
    assert (refused.status, refused.json["error"]["code"]) == (429, "EVL-ADMISSION-FULL")
    assert refused.headers["retry-after"] == "16"
