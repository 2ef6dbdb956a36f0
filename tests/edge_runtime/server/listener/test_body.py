"""A request's body: of a bounded size, in time, or refused."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import pytest
from starlette.types import Message, Receive, Scope, Send

from edge_runtime.server.listener.body import BoundedBody
from edge_runtime.server.listener.rules import GuardRules
from tests.edge_runtime.server.listener.asking import (
    App,
    Rejections,
    Reply,
    answered,
    ask,
    receiver_of,
    scope_of,
)

RULES = GuardRules(max_body_bytes=100, max_held_bytes=150, body_s=0.05, body_bytes_per_s=1000, linger_s=0.05)
CHUNKED = {"transfer-encoding": "chunked"}


def posted(
    app: App, headers: Mapping[str, str], pieces: Sequence[bytes] = (), is_silent: bool = False
) -> Reply:
    bounded = BoundedBody(app, RULES, Rejections().refuse)
    return ask(bounded, "/v1/completions", "POST", headers, pieces, is_silent)


def test_a_body_reaches_the_app_whole() -> None:
    app = App()
    assert posted(app, CHUNKED, [b"a" * 60, b"b" * 40]).status == 200
    assert app.bodies == [b"a" * 60 + b"b" * 40]


def test_a_request_without_a_body_is_not_read() -> None:
    app = App()
    assert posted(app, {"content-length": "0"}).status == 200
    assert app.bodies == [b""]


def test_too_large_by_its_header_is_refused_unread() -> None:
    app = App()
    reply = posted(app, {"content-length": "101"}, is_silent=True)
    assert (reply.status, reply.error["code"], reply.headers["connection"]) == (
        413,
        "body_too_large",
        "close",
    )
    assert app.scopes == []


def test_too_large_by_what_comes_is_refused() -> None:
    app = App()
    reply = posted(app, CHUNKED, [b"a" * 60, b"b" * 41])
    assert (reply.status, reply.headers["connection"]) == (413, "close")
    assert app.scopes == []


def test_a_refused_client_that_still_sends_is_heard_out() -> None:
    left: list[Message] = [
        {"type": "http.request", "body": b"x" * 200, "more_body": number < 9} for number in range(10)
    ]

    async def receive() -> Message:
        return left.pop(0)

    scope = scope_of("POST", "/", [("content-length", "2000")])
    reply = asyncio.run(answered(BoundedBody(App(), RULES, Rejections().refuse), scope, receive))
    assert reply.status == 413
    assert left == []


def test_a_silent_body_is_given_up_on() -> None:
    app = App()
    reply = posted(app, {"content-length": "10"}, [b"12345"], is_silent=True)
    assert (reply.status, reply.error["code"], reply.headers["connection"]) == (408, "body_too_slow", "close")
    assert reply.headers["x-should-retry"] == "false"
    assert app.scopes == []


async def drip(scope: Scope, rules: GuardRules, piece: bytes, pause_s: float) -> Reply:
    async def receive() -> Message:
        await asyncio.sleep(pause_s)
        return {"type": "http.request", "body": piece, "more_body": True}

    return await asyncio.wait_for(
        answered(BoundedBody(App(), rules, Rejections().refuse), scope, receive), timeout=5
    )


def test_a_body_that_drips_does_not_put_the_deadline_off() -> None:
    scope = scope_of("POST", "/", list(CHUNKED.items()))
    assert asyncio.run(drip(scope, RULES, b"x", 0.01)).status == 408


def test_a_body_that_comes_at_a_good_rate_has_more_time() -> None:
    """It is refused in the end for its size: long after the first deadline."""
    rules = GuardRules(max_body_bytes=2000, body_s=0.05, body_bytes_per_s=1000, linger_s=0.01)
    scope = scope_of("POST", "/", list(CHUNKED.items()))
    assert asyncio.run(drip(scope, rules, b"x" * 100, 0.01)).status == 413


@pytest.mark.parametrize("encoding", ["gzip", "br", "identity, gzip", "zstd"])
def test_a_compressed_body_is_refused_unread(encoding: str) -> None:
    reply = posted(App(), {"content-length": "10", "content-encoding": encoding}, is_silent=True)
    assert (reply.status, reply.error["code"]) == (415, "unsupported_encoding")


def test_a_body_as_it_is_may_say_so() -> None:
    assert posted(App(), {"content-length": "2", "content-encoding": "Identity"}, [b"ab"]).status == 200


@pytest.mark.parametrize("length", ["-1", "1x", "+1", "1e3", "1_0", "9" * 21, "²"])
def test_a_length_that_is_no_number_is_a_bad_request(length: str) -> None:
    reply = posted(App(), {"content-length": length}, is_silent=True)
    assert (reply.status, reply.error["code"]) == (400, "bad_length")


def test_all_bodies_together_have_a_bound_that_is_given_back() -> None:
    """Two at once would be 160 bytes of 150; one after the other they are not."""
    rejections = Rejections()
    is_inside, may_end = asyncio.Event(), asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        is_inside.set()
        await may_end.wait()
        await App()(scope, receive, send)

    bounded = BoundedBody(app, RULES, rejections.refuse)

    async def post() -> Reply:
        scope = scope_of("POST", "/", list(CHUNKED.items()))
        return await answered(bounded, scope, receiver_of([b"x" * 80], is_silent=False))

    async def crowd() -> list[Reply]:
        first = asyncio.ensure_future(post())
        await is_inside.wait()
        second = await post()
        may_end.set()
        return [await first, second, await post()]

    first, second, third = asyncio.run(crowd())
    assert (first.status, second.status, third.status) == (200, 503, 200)
    assert (second.error["code"], second.headers["retry-after"]) == ("no_room_for_body", "1")


def test_a_client_that_goes_away_is_owed_nothing() -> None:
    app, rejections = App(), Rejections()

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    scope = scope_of("POST", "/", list(CHUNKED.items()))
    reply = asyncio.run(answered(BoundedBody(app, RULES, rejections.refuse), scope, receive))
    assert (reply.status, app.scopes, rejections.codes) == (0, [], [])


def test_the_app_hears_behind_the_body_that_its_client_goes_away() -> None:
    heard: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        heard.extend([(await receive())["type"], (await receive())["type"]])

    pieces: list[Message] = [
        {"type": "http.request", "body": b"ab", "more_body": False},
        {"type": "http.disconnect"},
    ]

    async def receive() -> Message:
        return pieces.pop(0)

    scope = scope_of("POST", "/", [("content-length", "2")])
    asyncio.run(answered(BoundedBody(app, RULES, Rejections().refuse), scope, receive))
    assert heard == ["http.request", "http.disconnect"]
