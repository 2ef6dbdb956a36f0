"""/tokenize and /detokenize."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

import pytest

from edge_runtime.errors import MachineFault
from edge_runtime.server.asked import AskedTurn, Prompt
from edge_runtime.server.http.errands import MOST_TOKENS, WAITING
from tests.edge_runtime.server.fake_engine import FACTS, IMAGE_TOKENS, FakeEngine
from tests.edge_runtime.server.http.asgi import Asker, Reply
from tests.edge_runtime.server.http.house import CHAT, House, chat, picture_part, posted, text_part

BODIES: dict[str, dict[str, object]] = {"/tokenize": {"prompt": "ab"}, "/detokenize": {"tokens": [72, 105]}}


def test_a_text_is_told_as_its_tokens() -> None:
    assert posted("/tokenize", {"prompt": "ab"}).json == {
        "count": 2,
        "max_model_len": FACTS.max_context,
        "tokens": [97, 98],
    }


def test_a_conversation_is_counted_with_its_images_and_without_fetching_them() -> None:
    house = House()
    body = chat([picture_part("https://example.com/a.png"), text_part("ab"), picture_part("data:x")])
    told = posted("/tokenize", {"messages": body["messages"], "model": "fake-vl"}, house).json
    assert told["count"] == len(told["tokens"]) == 2 + 2 * IMAGE_TOKENS


def test_what_was_asked_for_is_what_is_tokenized() -> None:
    class Remembering(FakeEngine):
        seen: Prompt | None = None

        async def ids_of(self, prompt: Prompt) -> list[int]:
            self.seen = prompt
            return []

    engine = Remembering()
    posted("/tokenize", {"messages": [{"role": "system", "content": "s"}, *_user("a")]}, House(engine=engine))
    assert engine.seen == Prompt((AskedTurn("user", "a"),), "s")


def _user(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def test_tokens_are_told_as_their_text() -> None:
    assert posted("/detokenize", {"tokens": [72, 105]}).json == {"prompt": "Hi"}


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/tokenize", {}, "prompt"),
        ("/tokenize", {"prompt": None}, "prompt"),
        ("/tokenize", {"prompt": 5}, "prompt"),
        ("/tokenize", {"prompt": "a", "messages": _user("a")}, None),
        ("/tokenize", {"messages": []}, "messages"),
        ("/tokenize", {"prompt": "a", "add_special_tokens": False}, "add_special_tokens"),
        ("/tokenize", {"prompt": "a", "return_token_strs": True}, "return_token_strs"),
        ("/detokenize", {}, "tokens"),
        ("/detokenize", {"tokens": "ab"}, "tokens"),
        ("/detokenize", {"tokens": [-1]}, "tokens.0"),
        ("/detokenize", {"tokens": ["a"]}, "tokens.0"),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_by_its_name(
    path: str, body: dict[str, object], param: str | None
) -> None:
    reply = posted(path, body)
    assert reply.status == 400
    if param is not None:
        assert reply.json["error"]["param"] == param


@pytest.mark.parametrize("path", ["/tokenize", "/detokenize"])
def test_another_model_is_not_found(path: str) -> None:
    assert posted(path, {"model": "x", "prompt": "a", "tokens": []}).status == 404


class SlowEngine(FakeEngine):
    """Small work waits until `may_end`, and fails with a `small_fault`; `begun` is told of each."""

    def __init__(self) -> None:
        super().__init__()
        self.may_end = asyncio.Event()
        self.begun: asyncio.Queue[str] = asyncio.Queue()
        self.small_fault: MachineFault | None = None

    async def _wait(self, kind: str) -> None:
        self.begun.put_nowait(kind)
        await self.may_end.wait()
        if self.small_fault is not None:
            raise self.small_fault

    async def ids_of(self, prompt: Prompt) -> Sequence[int]:
        if prompt.raw is not None:
            await self._wait("ids")
        return await super().ids_of(prompt)

    async def text_of(self, ids: Sequence[int]) -> str:
        await self._wait("text")
        return await super().text_of(ids)


def slowly(talk: Callable[[House, SlowEngine], Awaitable[None]]) -> None:
    async def whole() -> None:
        engine = SlowEngine()
        await asyncio.wait_for(talk(House(engine=engine), engine), 30)

    asyncio.run(whole())


async def after(*posting: Coroutine[Any, Any, Reply]) -> list[asyncio.Task[Reply]]:
    """Those requests, when all of them have come as far as they come."""
    asked = [asyncio.create_task(each) for each in posting]
    for _ in range(50):
        await asyncio.sleep(0)
    return asked


@pytest.mark.parametrize("path", BODIES)
def test_whoever_leaves_is_let_go_of_though_the_engine_is_not_done(path: str) -> None:
    async def talk(house: House, engine: SlowEngine) -> None:
        asker = Asker()
        (first,) = await after(house.post(path, BODIES[path], asker=asker))
        await engine.begun.get()
        asker.goes.set()
        assert (await first).status == 0

        (second,) = await after(house.post(path, BODIES[path]))
        assert engine.begun.empty(), "the engine has not done what was sent before"
        engine.may_end.set()
        assert (await second).status == 200

    slowly(talk)


def test_whoever_leaves_before_their_turn_is_nothing_to_the_engine() -> None:
    async def talk(house: House, engine: SlowEngine) -> None:
        asker = Asker()
        first, second = await after(
            house.post("/tokenize", {"prompt": "ab"}), house.post("/tokenize", {"prompt": "cd"}, asker=asker)
        )
        asker.goes.set()
        assert (await second).status == 0
        engine.may_end.set()
        assert (await first).json["count"] == 2
        assert (await house.post("/tokenize", {"prompt": "e"})).json["count"] == 1
        assert engine.begun.qsize() == 2

    slowly(talk)


@pytest.mark.parametrize("has_left", [False, True])
def test_only_so_many_wait_and_questions_do_not_wait_for_them(has_left: bool) -> None:
    async def talk(house: House, engine: SlowEngine) -> None:
        askers = [Asker() for _ in range(WAITING + 1)]
        inside = await after(*(house.post("/tokenize", {"prompt": "ab"}, asker=each) for each in askers))
        refused = await house.post("/detokenize", {"tokens": [72]})
        assert (refused.status, refused.json["error"]["code"]) == (429, "EVL-ADMISSION-FULL")
        assert refused.json["error"]["type"] == "rate_limit_error"
        assert int(refused.headers["retry-after"]) >= 1
        assert house.counted("edgevl_requests_rejected_total", reason="queue_full") == 1
        assert engine.begun.qsize() == 1, "one at a time"
        assert (await house.post(CHAT, chat())).status == 200
        if has_left:
            for each in askers:
                each.goes.set()
            await asyncio.gather(*inside)
        engine.may_end.set()
        assert {each.status for each in await asyncio.gather(*inside)} == {0 if has_left else 200}
        assert (await house.post("/tokenize", {"prompt": "ab"})).status == 200

    slowly(talk)


def test_the_tokens_of_those_who_wait_are_bounded() -> None:
    async def talk(house: House, engine: SlowEngine) -> None:
        large = {"tokens": [72] * (MOST_TOKENS // 2 - 10)}
        first, second = await after(house.post("/detokenize", large), house.post("/detokenize", large))
        assert (await house.post("/detokenize", large)).status == 429
        engine.may_end.set()
        assert [(await each).status for each in (first, second)] == [200, 200]

    slowly(talk)


def test_what_goes_wrong_is_told_to_whoever_is_there_and_to_nobody_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def talk(house: House, engine: SlowEngine) -> None:
        engine.small_fault = MachineFault("EVL-ENGINE-RESTARTING", "it is away", "it died", "wait")
        asker = Asker()
        left, waits = await after(
            house.post("/tokenize", {"prompt": "ab"}, asker=asker), house.post("/tokenize", {"prompt": "ab"})
        )
        asker.goes.set()
        await left
        engine.may_end.set()
        assert (await waits).status == 503
        gc.collect()

    slowly(talk)
    assert not caplog.records
