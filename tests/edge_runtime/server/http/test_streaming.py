"""Answers as streams of events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from edge_runtime.errors import MachineFault
from edge_runtime.server.asked import Asked
from edge_runtime.server.said import Done, Event, Piece
from tests.edge_runtime.server.fake_engine import TIMINGS, FakeEngine
from tests.edge_runtime.server.http.asgi import Asker, Reply
from tests.edge_runtime.server.http.house import CHAT, COMPLETIONS, House, chat, completion, posted

AWAY = MachineFault("EVL-ENGINE-RESTARTING", "the engine went away", "it was killed", "ask again")


def streamed(house: House | None = None, **fields: object) -> Reply:
    return posted(CHAT, chat(stream=True, **fields), house)


def test_a_stream_is_role_then_text_then_end_then_the_mark() -> None:
    reply = streamed()
    assert reply.status == 200
    assert reply.headers["content-type"] == "text/event-stream; charset=utf-8"
    deltas = [event["choices"][0]["delta"] for event in reply.events]
    assert deltas == [
        {"role": "assistant", "content": "", "refusal": None},
        {"content": "It "},
        {"content": "is "},
        {"content": "red."},
        {},
    ]
    assert [event["choices"][0]["finish_reason"] for event in reply.events] == [None] * 4 + ["stop"]
    assert reply.events[-1]["timings_ms"] == TIMINGS
    assert {event["id"] for event in reply.events} == {reply.events[0]["id"]}
    assert {event["object"] for event in reply.events} == {"chat.completion.chunk"}
    assert reply.text.endswith("data: [DONE]\n\n")
    assert all("usage" not in event for event in reply.events)


def test_usage_comes_last_in_a_chunk_without_choices_if_asked_for() -> None:
    events = streamed(stream_options={"include_usage": True}, n=2).events
    assert all(event["usage"] is None for event in events[:-1])
    assert events[-1]["choices"] == []
    assert events[-1]["usage"]["completion_tokens"] == 6
    assert events[-1]["timings_ms"] == TIMINGS


def test_the_text_of_a_stream_is_the_text_of_the_whole() -> None:
    engine = FakeEngine(
        ("👩\u200d👧 ", "\x00", "\u200fעברית ", "e" + "\u0301" * 50, '"\n\r\u2028\x85\x0b\x1c')
    )
    whole = posted(CHAT, chat(), House(engine=engine)).json["choices"][0]["message"]["content"]
    reply = streamed(House(engine=engine))
    assert "".join(event["choices"][0]["delta"].get("content", "") for event in reply.events) == whole
    assert whole == "".join(engine.texts)
    for chunk in reply.chunks:
        assert len(chunk.decode().splitlines()) == 2  # whole characters, and one line whoever splits it


def test_several_answers_share_a_stream_and_keep_their_places() -> None:
    events = streamed(n=2).events
    for place in (0, 1):
        own = [event["choices"][0]["delta"] for event in events if event["choices"][0]["index"] == place]
        assert "".join(each.get("content", "") for each in own) == "It is red."
        assert own[0]["role"] == "assistant"


def test_a_fault_before_the_first_event_has_its_status() -> None:
    house = House()
    house.engine.fault = AWAY
    reply = streamed(house)
    assert reply.status == 503
    assert reply.json["error"]["code"] == "engine_restarting"


def test_a_fault_in_the_middle_is_an_event_and_the_stream_ends_properly() -> None:
    house = House()
    house.engine.fault, house.engine.gated = AWAY, 1
    reply = streamed(house)
    assert reply.status == 200
    assert reply.events[-1]["error"]["code"] == "engine_restarting"
    assert reply.text.endswith("data: [DONE]\n\n")
    assert reply.raised is None
    assert house.counted("edgevl_requests_failed_total", code="EVL-ENGINE-RESTARTING") == 1


def test_a_bug_in_the_middle_is_an_event_and_comes_out_behind_the_stream() -> None:
    class Buggy(FakeEngine):
        async def _events(self, asked: Asked) -> AsyncIterator[Event]:
            yield Piece("It ")
            raise ZeroDivisionError("/home/x.py")

    reply = streamed(House(engine=Buggy()))
    assert reply.events[-1]["error"]["code"] == "EVL-INTERNAL"
    assert "/home" not in reply.text
    assert reply.text.endswith("data: [DONE]\n\n")
    assert isinstance(reply.raised, ZeroDivisionError)


def test_where_nothing_is_said_for_long_the_stream_says_that_it_lives() -> None:
    house = House(keep_alive_s=0.001)
    house.engine.gate.clear()

    async def hear(chunk: bytes) -> None:
        if chunk.startswith(b":"):
            house.engine.gate.set()

    async def ask() -> Reply:
        return await house.post(CHAT, chat(stream=True), asker=Asker(heard=hear))

    reply = asyncio.run(ask())
    assert reply.chunks[0] == b": keep-alive\n\n"
    assert len(reply.events) == 5


def test_a_fault_behind_a_sign_of_life_is_an_event() -> None:
    house = House(keep_alive_s=0.001)
    house.engine.gate.clear()
    house.engine.fault = AWAY

    async def hear(chunk: bytes) -> None:
        house.engine.gate.set()

    async def ask() -> Reply:
        return await house.post(CHAT, chat(stream=True), asker=Asker(heard=hear))

    reply = asyncio.run(ask())
    assert reply.status == 200
    assert [event["error"]["code"] for event in reply.events] == ["engine_restarting"]
    assert reply.text.endswith("data: [DONE]\n\n")


@pytest.mark.parametrize("gated", [0, 1, 2])
def test_whoever_leaves_a_stream_is_not_answered_any_further(gated: int) -> None:
    house = House()
    house.engine.gate.clear()
    house.engine.gated = gated
    asker = Asker()

    async def leave() -> Reply:
        asking = asyncio.ensure_future(house.post(CHAT, chat(stream=True), asker=asker))
        while not house.engine.asked:
            await asyncio.sleep(0)
        for _ in range(50):
            await asyncio.sleep(0)
        asker.goes.set()
        return await asking

    reply = asyncio.run(leave())
    assert not reply.is_whole
    assert len(house.engine.left) == 1
    assert house.admission.questions == 0
    assert house.counted("edgevl_requests_total", finish_reason="abort") == 1


def test_a_reader_who_is_slow_holds_up_the_engine_and_not_the_memory() -> None:
    class Talkative(FakeEngine):
        said = 0

        async def _events(self, asked: Asked) -> AsyncIterator[Event]:
            for _ in range(10_000):
                self.said += 1
                yield Piece("x")
            yield Done("length", 1, 0, 0, 10_000, TIMINGS)

    engine = Talkative()
    house, asker = House(engine=engine), Asker()

    async def never(chunk: bytes) -> None:
        await asyncio.Event().wait()

    async def read_nothing() -> int:
        asker.heard = never
        asking = asyncio.ensure_future(house.post(CHAT, chat(stream=True), asker=asker))
        for _ in range(500):
            await asyncio.sleep(0)
        said = engine.said
        asker.goes.set()
        await asking
        return said

    assert asyncio.run(read_nothing()) < 50
    assert len(engine.left) == 1


def test_completions_stream_in_their_own_form() -> None:
    reply = posted(COMPLETIONS, completion(stream=True, stream_options={"include_usage": True}))
    assert [event["choices"][0]["text"] for event in reply.events[:-1]] == ["It ", "is ", "red.", ""]
    assert reply.events[-2]["choices"][0]["finish_reason"] == "stop"
    assert reply.events[-1]["usage"]["completion_tokens"] == 3
    assert {event["object"] for event in reply.events} == {"text_completion"}
    assert reply.text.endswith("data: [DONE]\n\n")
