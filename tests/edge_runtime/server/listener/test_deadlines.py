"""A connection has a time for everything."""

from __future__ import annotations

import asyncio

import pytest
from starlette.types import Receive, Scope, Send

from edge_runtime.server.listener.rules import GuardRules
from tests.edge_runtime.server.listener.wire import (
    Listener,
    code_of,
    connected,
    listening,
    plugged,
    settled,
    status_of,
)

SOON, LATE = 0.2, 30.0
GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
HEAD = b"POST / HTTP/1.1\r\nHost: localhost\r\n"


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    headers = [(b"content-length", b"5")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"hello"})


def rules(**changed: float) -> GuardRules:
    """Every deadline is late but the one that a test is about."""
    late = {"idle_s": LATE, "header_s": LATE, "body_s": LATE, "stall_s": LATE, "linger_s": LATE}
    return GuardRules(**(late | changed))  # type: ignore[arg-type]


def told(chosen: GuardRules, *sent: bytes, has_guards: bool = True) -> tuple[bytes, list[str]]:
    """What a client gets that sends these pieces and then waits; and what was counted."""

    async def talk() -> tuple[bytes, list[str]]:
        async with listening(hello, chosen, has_guards) as server, connected(server.port) as client:
            for piece in sent:
                await client.send(piece)
            answer = await client.rest()
            return answer, server.rejections.codes

    return asyncio.run(talk())


def test_a_head_that_does_not_come_to_its_end_is_given_up_on() -> None:
    answer, counted = told(rules(header_s=SOON), HEAD)
    assert (status_of(answer), code_of(answer), counted) == (408, "headers_too_slow", ["headers_too_slow"])
    assert b"x-request-id: " in answer
    assert b"connection: close" in answer


def test_a_head_that_drips_does_not_put_the_deadline_off() -> None:
    async def talk() -> list[str]:
        async with listening(hello, rules(header_s=SOON)) as server, connected(server.port) as client:
            answer = asyncio.ensure_future(client.rest())
            while not answer.done():
                client.writer.write(b"X")
                await asyncio.wait([answer], timeout=0.01)
            await settled(server.state)
            return server.rejections.codes

    assert asyncio.run(asyncio.wait_for(talk(), 10)) == ["headers_too_slow"]


def test_the_deadline_of_a_head_begins_with_its_first_byte() -> None:
    async def talk() -> int:
        async with listening(hello, rules(header_s=SOON)) as server, connected(server.port) as client:
            await asyncio.sleep(2 * SOON)
            await client.send(GET)
            first = status_of(await client.response())
            await asyncio.sleep(2 * SOON)
            await client.send(GET)
            return first + status_of(await client.response())

    assert asyncio.run(talk()) == 400


def test_the_second_head_of_a_connection_has_a_deadline_too() -> None:
    answer, counted = told(rules(header_s=SOON), GET + HEAD)
    assert status_of(answer) == 200
    assert b"HTTP/1.1 408" in answer
    assert counted == ["headers_too_slow"]


def test_a_connection_without_a_byte_is_closed_without_a_word() -> None:
    assert told(rules(idle_s=SOON)) == (b"", [])


def test_a_connection_that_was_answered_is_closed_when_nothing_more_comes() -> None:
    answer, counted = told(rules(idle_s=SOON), GET)
    assert answer.endswith(b"hello")
    assert counted == []


def test_a_body_that_does_not_come_is_given_up_on_after_it_was_asked_for() -> None:
    answer, counted = told(rules(body_s=SOON), HEAD + b"Content-Length: 5\r\nExpect: 100-continue\r\n\r\n")
    interim, _, answer = answer.partition(b"\r\n\r\n")
    assert status_of(interim) == 100
    assert (status_of(answer), code_of(answer), counted) == (408, "body_too_slow", ["body_too_slow"])


def test_a_body_too_large_by_its_header_is_not_asked_for() -> None:
    answer, _ = told(rules(linger_s=SOON), HEAD + b"Content-Length: 99999999\r\nExpect: 100-continue\r\n\r\n")
    assert status_of(answer) == 413


def test_a_client_that_sends_a_large_body_whole_still_reads_why_it_was_refused() -> None:
    size = 20 << 20
    answer, counted = told(rules(), HEAD + b"Content-Length: %d\r\n\r\n" % size, b"x" * size)
    assert (status_of(answer), counted) == (413, ["body_too_large"])


def test_a_body_that_nobody_wants_holds_a_connection_for_a_moment_only() -> None:
    """An app without guards that answers before it read the body."""
    answer, _ = told(
        rules(linger_s=SOON), HEAD + b"Content-Length: 1000\r\n\r\n", b"x" * 10, has_guards=False
    )
    assert status_of(answer) == 200


def test_a_body_that_nobody_wants_may_come_to_its_end() -> None:
    async def talk() -> list[int]:
        chosen = rules(linger_s=SOON, idle_s=LATE)
        async with listening(hello, chosen, has_guards=False) as server, connected(server.port) as client:
            await client.send(HEAD + b"Content-Length: 10\r\n\r\n12345")
            first = status_of(await client.response())
            await client.send(b"67890" + GET)
            return [first, status_of(await client.response())]

    assert asyncio.run(talk()) == [200, 200]


async def flood(scope: Scope, receive: Receive, send: Send) -> None:
    """Sends for ever, until it hears that the client is gone."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await receive()
    gone = asyncio.ensure_future(receive())
    while not gone.done():
        await send({"type": "http.response.body", "body": b"x" * 10_000, "more_body": True})
        await asyncio.sleep(0)
    assert (await gone)["type"] == "http.disconnect"
    scope["app_heard"].set()


def slow_reader(pause_s: float) -> list[str]:
    """Reads a byte at a time, until the app has heard that its client is gone; what was counted."""

    async def talk() -> list[str]:
        heard = asyncio.Event()
        loop = asyncio.get_running_loop()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await flood({**scope, "app_heard": heard}, receive, send)

        async with listening(app, rules(stall_s=SOON)) as server, plugged(server.port, 4096) as plug:
            await loop.sock_sendall(plug, GET)
            waiting = asyncio.ensure_future(heard.wait())
            while not waiting.done():
                await loop.sock_recv(plug, 1)
                await asyncio.wait([waiting], timeout=pause_s)
            await settled(server.state)
            return server.rejections.codes

    return asyncio.run(asyncio.wait_for(talk(), 10))


def test_a_client_that_does_not_read_loses_its_connection_and_the_app_hears_of_it() -> None:
    assert slow_reader(pause_s=9.0) == ["client_stalled"]


def test_a_client_that_reads_a_byte_at_a_time_does_so_too() -> None:
    assert slow_reader(pause_s=0.02) == ["client_stalled"]


def test_a_whole_answer_that_is_not_read_does_not_hold_its_connection() -> None:
    """The app is long done, and uvicorn has closed: that alone would wait for the client for ever."""

    async def much(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"connection", b"close")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"x" * (1 << 20)})

    async def talk() -> list[str]:
        async with listening(much, rules(stall_s=SOON)) as server, plugged(server.port, 4096) as plug:
            await asyncio.get_running_loop().sock_sendall(plug, GET)
            while not server.rejections.codes:
                await asyncio.sleep(0.01)
            await settled(server.state)
            return server.rejections.codes

    assert asyncio.run(asyncio.wait_for(talk(), 10)) == ["client_stalled"]


async def until_open(server: Listener, number: int) -> None:
    while len(server.state.connections) != number:
        await asyncio.sleep(0.001)


@pytest.mark.parametrize("sent", [b"", HEAD, GET, HEAD + b"X"])
def test_a_listener_that_ends_lets_everyone_go_who_is_not_being_answered(sent: bytes) -> None:
    async def talk() -> None:
        async with listening(hello, rules()) as server, connected(server.port) as client:
            await client.send(sent)
            await until_open(server, 1)
            if sent == GET:
                await client.response()
            for connection in list(server.state.connections):
                connection.shutdown()
            assert await client.rest() == b""
            await settled(server.state)

    asyncio.run(asyncio.wait_for(talk(), 10))
