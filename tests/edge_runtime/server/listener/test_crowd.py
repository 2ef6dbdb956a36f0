"""Questions that come while there is no room."""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from starlette.types import Message, Receive, Scope, Send

from edge_runtime.server.listener.crowd import Crowd, Server, only_with_room
from edge_runtime.server.listener.glance import Glance
from edge_runtime.server.listener.keys import Keys
from edge_runtime.server.listener.refusal import Refuser
from edge_runtime.server.listener.rules import GuardRules
from tests.edge_runtime.server.listener.wire import connected, listening, status_of

PATH = "/v1/chat/completions"
KEY = "k" * 43
BODY = b'{"model": "m"}'


def nobody_in_particular(_glance: Glance, _server: Server) -> str | None:
    return ""


def nothing_told(_glance: Glance, _asker: str) -> None:
    pass


class Ended:
    """What came of one request: the app's own 200, or a refusal; and how much of the body was asked for."""

    def __init__(self, wait_s: float | None, method: str = "POST", path: str = PATH) -> None:
        self.sent: list[Message] = []
        self.counted: list[str] = []
        self.reads = 0
        app = only_with_room(
            self._app,
            Crowd(frozenset({PATH}), lambda: wait_s, nobody_in_particular, nothing_told),
            Refuser(self.counted.append, 0.1),
        )
        scope: Scope = {
            "type": "http",
            "method": method,
            "path": path,
            "headers": [(b"content-length", b"2")],
        }
        asyncio.run(app(scope, self._receive, self._send))  # type: ignore[arg-type]

    async def _app(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def _receive(self) -> Message:
        self.reads += 1
        return {"type": "http.request", "body": b"{}", "more_body": False}

    async def _send(self, message: Message) -> None:
        self.sent.append(message)

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])


def test_where_there_is_room_the_question_goes_on() -> None:
    ended = Ended(None)
    assert (ended.status, ended.counted) == (200, [])


def test_where_there_is_none_it_is_told_when_to_come_back() -> None:
    ended = Ended(1.3)
    headers = dict(ended.sent[0]["headers"])
    assert (ended.status, headers[b"retry-after"], headers[b"retry-after-ms"]) == (429, b"2", b"1300")
    assert json.loads(ended.sent[1]["body"])["error"]["code"] == "EVL-ADMISSION-FULL"
    assert ended.counted == ["EVL-ADMISSION-FULL"]


def test_nothing_but_questions_is_turned_away() -> None:
    assert Ended(1.3, path="/tokenize").status == 200
    assert Ended(1.3, method="GET").status == 200


def head(*fields: str, start: str = f"POST {PATH} HTTP/1.1") -> bytes:
    lines = [start, "Host: localhost", f"Content-Length: {len(BODY)}", *fields]
    return "\r\n".join([*lines, "", ""]).encode()


async def ok(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


@dataclass
class Heard:
    """One connection's answer, who was turned away before anything was parsed, and what was counted besides."""

    answer: bytes
    turned: list[tuple[Glance, str]]
    counted: list[str]

    @property
    def is_at_once(self) -> bool:
        return bool(self.turned)


def heard(*pieces: bytes, keys: Keys | None = None, wait_s: float | None = 1.3) -> Heard:
    turned = list[tuple[Glance, str]]()

    def asker(glance: Glance, _server: Server) -> str | None:
        if keys is None:
            return ""
        holder = keys.holder_of((glance.authorization or b"").decode())
        return holder.name if holder and "infer" in holder.scopes else None

    async def talk() -> Heard:
        crowd = Crowd(frozenset({PATH}), lambda: wait_s, asker, lambda *told: turned.append(told))
        rules = GuardRules(linger_s=0.2, idle_s=0.2, cors_origins=("https://own.example",))
        async with listening(ok, rules, keys=keys, crowd=crowd) as server, connected(server.port) as client:
            for piece in pieces:
                await client.send(piece)
                await asyncio.sleep(0.02)
            return Heard(await client.rest(), turned, server.rejections.codes)

    return asyncio.run(talk())


def parts_of(answer: bytes) -> tuple[int, dict[str, str], object]:
    """Without what is another each time, and what is for caches: they keep none of it."""
    start, _, body = answer.partition(b"\r\n\r\n")
    fields = dict(line.lower().split(": ", 1) for line in start.decode().split("\r\n")[1:])
    for name in ("date", "vary"):
        fields.pop(name, None)
    assert re.fullmatch("[A-Za-z0-9_-]{1,64}", fields["x-request-id"])
    return status_of(answer), {**fields, "x-request-id": ""}, json.loads(body)


def test_a_question_in_one_piece_is_answered_before_it_is_parsed_as_it_would_be_after() -> None:
    at_once, parsed = heard(head() + BODY), heard(head()[:9], head()[9:] + BODY)
    assert (at_once.is_at_once, parsed.is_at_once) == (True, False)
    assert parts_of(at_once.answer) == parts_of(parsed.answer)
    assert parts_of(at_once.answer)[1]["retry-after-ms"] == "1300"
    assert (at_once.counted, parsed.counted) == ([], ["EVL-ADMISSION-FULL"])
    assert [(glance.path, asker) for glance, asker in at_once.turned] == [(PATH, "127.0.0.1")]


def test_with_room_nothing_is_answered_before_it_is_parsed() -> None:
    found = heard(head() + BODY, wait_s=None)
    assert (status_of(found.answer), found.is_at_once) == (200, False)


def test_its_own_name_is_kept_and_a_wild_one_is_not() -> None:
    named = heard(head("X-Request-ID: mine-7") + BODY)
    assert b"x-request-id: mine-7\r\n" in named.answer
    assert named.turned[0][0].request_id == b"mine-7"
    wild = heard(head("x-request-id: <b>") + BODY)
    assert wild.is_at_once
    assert b"<b>" not in wild.answer
    told = wild.turned[0][0].request_id
    assert told is not None
    assert b"x-request-id: " + told + b"\r\n" in wild.answer


@pytest.mark.parametrize(
    "fields",
    [
        ("Origin: https://own.example",),
        ("traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",),
        ("Authorization: Bearer a", "Authorization: Bearer b"),
    ],
)
def test_what_takes_more_looking_at_is_parsed(fields: tuple[str, ...]) -> None:
    found = heard(head(*fields) + BODY)
    assert (status_of(found.answer), found.is_at_once) == (429, False)


@pytest.mark.parametrize(
    "start", ["POST /tokenize HTTP/1.1", f"GET {PATH} HTTP/1.1", f"POST {PATH}/x HTTP/1.1"]
)
def test_what_is_no_question_is_parsed(start: str) -> None:
    found = heard(head(start=start) + BODY)
    assert (status_of(found.answer), found.is_at_once) == (200, False)


def test_a_stranger_does_not_learn_whether_there_is_room(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"{KEY} mine infer\n{KEY[:-1]}m watch metrics\n")
    file.chmod(0o600)
    keys = Keys(file)

    def told(*fields: str) -> tuple[int, bool]:
        found = heard(head(*fields) + BODY, keys=keys)
        return status_of(found.answer), found.is_at_once

    assert told() == (401, False)
    assert told("Authorization: Bearer wrong") == (401, False)
    assert told(f"Authorization: Bearer {KEY[:-1]}m") == (403, False)
    assert told(f"Authorization: Bearer {KEY}") == (429, True)
    assert heard(head(f"Authorization: Bearer {KEY}") + BODY, keys=keys).turned[0][1] == "mine"


def test_a_second_question_on_a_connection_is_turned_away_too() -> None:
    """It was answered once, by an app that had room."""
    first = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
    found = heard(first, head() + BODY)
    assert found.answer.startswith(b"HTTP/1.1 200 ")
    assert b"HTTP/1.1 429 " in found.answer
    assert (found.is_at_once, found.counted) == (True, [])


@pytest.mark.parametrize("sent", [head() + BODY, b"GET /\x00 HTTP/1.1\r\n\r\n"])
def test_whoever_lingers_after_a_refusal_makes_way_without_a_word(sent: bytes) -> None:
    """And the newcomer is counted, and has its deadline."""

    async def talk() -> None:
        failed = list[object]()
        asyncio.get_running_loop().set_exception_handler(lambda _, context: failed.append(context))
        rules = GuardRules(max_connections=3, linger_s=30.0, idle_s=0.2)
        crowd = Crowd(frozenset({PATH}), lambda: 1.3, nobody_in_particular, nothing_told)
        async with listening(ok, rules, crowd=crowd) as server, AsyncExitStack() as held:
            for _ in range(rules.max_connections):
                client = await held.enter_async_context(connected(server.port))
                await client.send(sent)
                assert status_of(await client.response()) in (429, 400)
            counted = list(server.rejections.codes)
            silent = [await held.enter_async_context(connected(server.port)) for _ in range(2)]
            for client in silent:
                assert await client.rest() == b""
            assert (failed, server.rejections.codes) == ([], counted)
            assert len(server.state.connections) <= rules.max_connections

    asyncio.run(asyncio.wait_for(talk(), 10))
