"""Requests that are none, and too many of them: over real sockets."""

from __future__ import annotations

import asyncio
import logging
import resource
import socket
import time
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from edge_runtime.server.listener.guarded import guarded
from edge_runtime.server.listener.listening import config_of
from edge_runtime.server.listener.rules import GuardRules
from tests.edge_runtime.server.listener.asking import App, Rejections
from tests.edge_runtime.server.listener.wire import (
    Listener,
    code_of,
    connected,
    listening,
    settled,
    status_of,
)

RULES = GuardRules(linger_s=0.05, body_s=0.2, max_body_bytes=1000)
GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n"
POST = b"POST / HTTP/1.1\r\nHost: localhost\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


def told(*pieces: bytes, rules: GuardRules = RULES) -> tuple[bytes, App]:
    """What a client gets until its connection ends, and the app that was asked."""
    app = App(headers=[(b"content-length", b"4")])

    async def talk() -> bytes:
        async with listening(app, rules) as server, connected(server.port) as client:
            for piece in pieces:
                await client.send(piece)
            return await client.rest()

    return asyncio.run(talk()), app


@pytest.mark.parametrize(
    ("request_bytes", "statuses"),
    [
        (POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", (400,)),
        (POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", (400,)),
        (POST + b"Content-Length: 5, 6\r\n\r\nhello!", (400,)),
        (POST + b"Content-Length: -5\r\n\r\nhello", (400,)),
        (POST + b"Content-Length: five\r\n\r\nhello", (400,)),
        (POST + b"Content-Length: 99999999999999999999999\r\n\r\nhello", (400, 413)),
        (POST + b"Content-Length: 1001\r\n\r\nhello", (413,)),
        (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", (400,)),
        (CHUNKED + b"zz\r\nhello\r\n", (400,)),
        (CHUNKED + b"-5\r\nhello\r\n", (400,)),
        (POST + b"Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", (400,)),
        (CHUNKED + b"5\r\nhelloXX", (400,)),
        (CHUNKED + b"400\r\n" + b"x" * 1024 + b"\r\n0\r\n\r\n", (413,)),
        (CHUNKED + (b"3e8\r\n" + b"x" * 1000 + b"\r\n") * 2, (413,)),
        (POST + b"Content-Length: 9\r\n\r\nhello", (408,)),
        (POST + b"Content-Length: 9\r\nExpect: 100-continue\r\n\r\n", (100, 408)),
        (b"GET / HTTP/1.1\r\n\r\n", (400,)),
        (GET + b"Host: localhost\r\n\r\n", (400,)),
        (b"GET / HTTP/1.0\r\n\r\n", (400,)),
        (b"GET /\r\n\r\n", (400,)),
        (b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n", (400,)),
        (b"POST / HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", (400,)),
        (b"\r\n\r\n\r\n", (400,)),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", (400,)),
        (GET + b"X Y: z\r\n\r\n", (400,)),
        (GET + b"X: a\rb\r\n\r\n", (400,)),
        (GET + b"X: a\x00b\r\n\r\n", (400,)),
        (GET + b" folded: yes\r\n\r\n", (200, 400)),
    ],
)
def test_a_request_that_is_none_is_refused_and_its_connection_closed(
    request_bytes: bytes, statuses: tuple[int, ...], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    if 200 in statuses:
        request_bytes = request_bytes.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    answer, app = told(request_bytes)
    found = [status_of(part) for part in answer.split(b"\r\n\r\n") if part.startswith(b"HTTP/1.1")]
    assert found and set(found) <= set(statuses)
    assert app.bodies == ([] if found[-1] != 200 else [b""])
    assert not caplog.records, "nothing of it is a fault of ours"


def test_a_second_request_hidden_behind_a_wrong_one_is_not_answered() -> None:
    smuggled = POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + GET + b"\r\n"
    answer, app = told(smuggled)
    assert answer.count(b"HTTP/1.1 ") == 1
    assert app.scopes == []


def test_as_many_headers_as_are_allowed_are_answered() -> None:
    head = GET + b"Connection: close\r\n" + b"X: y\r\n" * 98 + b"\r\n"
    assert status_of(told(head)[0]) == 200


@pytest.mark.parametrize(
    "head",
    [
        GET + b"X: y\r\n" * 100 + b"\r\n",
        GET + b"X: " + b"y" * (16 << 10) + b"\r\n\r\n",
        b"GET /" + b"y" * (16 << 10) + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        GET + (b"X: " + b"y" * 1000 + b"\r\n") * 200 + b"\r\n",
        GET + b"X: " + b"y" * (200 << 10),
    ],
)
def test_too_many_or_too_long_headers_are_refused_also_when_they_come_in_one_go(head: bytes) -> None:
    answer, app = told(head)
    assert (status_of(answer), code_of(answer)) == (431, "headers_too_large")
    assert app.scopes == []


def test_a_body_in_crumbs_is_refused_before_it_costs_much() -> None:
    rules = GuardRules(linger_s=0.05)
    answer, app = told(CHUNKED + b"1\r\nx\r\n" * 20_000 + b"0\r\n\r\n", rules=rules)
    assert (status_of(answer), app.bodies) == (400, [])


def test_a_body_in_pieces_of_some_size_is_none_of_that() -> None:
    head = POST + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer, app = told(
        head + (b"80\r\n" + b"x" * 128 + b"\r\n") * 2000 + b"0\r\n\r\n", rules=GuardRules(linger_s=0.05)
    )
    assert (status_of(answer), [len(body) for body in app.bodies]) == (200, [256_000])


def test_a_chunk_that_goes_wrong_after_the_answer_began_is_no_fault_of_ours(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """An app without guards that answers while it reads."""
    caplog.set_level(logging.ERROR)
    done = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass
        done.set()

    async def talk() -> None:
        async with listening(app, RULES, has_guards=False) as server, connected(server.port) as client:
            await client.send(CHUNKED)
            await client.reader.readuntil(b"begun")
            await client.send(b"zz\r\n")
            await asyncio.wait_for(done.wait(), 5)
            await settled(server.state)

    asyncio.run(talk())
    assert not caplog.records


async def begun(server: Listener, stack: AsyncExitStack, number: int, sent: bytes = b"") -> None:
    """So many connections, each of which the listener has seen."""
    for _ in range(number):
        client = await stack.enter_async_context(connected(server.port))
        await client.send(sent)
    while len(server.state.connections) < number:
        await asyncio.sleep(0.001)


async def asked(server: Listener) -> bytes:
    async with connected(server.port) as client:
        await client.send(GET + b"Connection: close\r\n\r\n")
        return await client.rest()


@pytest.mark.parametrize("rules", [GuardRules(max_connections=3), GuardRules(max_per_address=3)])
def test_beyond_the_limit_a_newcomer_is_told_to_come_again(rules: GuardRules) -> None:
    async def talk() -> None:
        async with listening(App(), rules) as server, AsyncExitStack() as stack:
            await begun(server, stack, 3, sent=POST + b"Content-Length: 9\r\n\r\n")
            async with connected(server.port) as client:
                answer = await client.rest()
            assert (status_of(answer), code_of(answer)) == (503, "too_many_connections")
            assert b"retry-after: 1" in answer
            assert server.rejections.codes == ["too_many_connections"]
            await stack.aclose()
            while server.state.connections:
                await asyncio.sleep(0.001)
            assert status_of(await asked(server)) == 200

    asyncio.run(asyncio.wait_for(talk(), 10))


@pytest.mark.parametrize("rules", [GuardRules(max_connections=3), GuardRules(max_per_address=3)])
@pytest.mark.parametrize("sent", [b"", POST, GET + b"\r\n"])
def test_beyond_the_limit_whoever_asks_nothing_makes_way(rules: GuardRules, sent: bytes) -> None:
    async def talk() -> None:
        async with listening(App(), rules) as server, AsyncExitStack() as stack:
            await begun(server, stack, 3, sent)
            assert status_of(await asked(server)) == 200

    asyncio.run(asyncio.wait_for(talk(), 10))


def test_two_thousand_idle_connections_do_not_keep_a_probe_waiting() -> None:
    """All stay open: none is closed to make room."""
    wanted = 2000
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < 2 * wanted + 200:
        pytest.skip(f"both ends of {wanted} connections need more open files than `ulimit -n` allows")
    rules = GuardRules(max_connections=wanted + 10, max_per_address=wanted + 10)
    assert probed(rules, wanted) == wanted


def test_a_flood_of_idle_connections_does_not_either_at_the_usual_limits() -> None:
    assert probed(GuardRules(), 600) == GuardRules().max_per_address - 1


async def probe_s(server: Listener) -> float:
    began = time.monotonic()
    assert status_of(await asked(server)) == 200
    return time.monotonic() - began


def probed(rules: GuardRules, idle: int) -> int:
    """How many of the idle ones are open after a probe was answered in time."""

    async def talk() -> int:
        loop = asyncio.get_running_loop()
        async with listening(App(), rules) as server:
            with ExitStack() as stack:
                for number in range(idle):
                    plug = stack.enter_context(socket.socket())
                    plug.setblocking(False)
                    await loop.sock_connect(plug, ("127.0.0.1", server.port))
                    if number % 100 == 99:
                        await asyncio.sleep(0)
                while len(server.state.connections) < min(idle, rules.max_per_address):
                    await asyncio.sleep(0.001)
                assert min([await probe_s(server) for _ in range(3)]) < 0.1, (
                    "not even once, on a busy machine"
                )
                while any(connection.transport.is_closing() for connection in server.state.connections):
                    await asyncio.sleep(0.001)
                return len(server.state.connections)

    return asyncio.run(asyncio.wait_for(talk(), 30))


def test_uvicorn_serves_with_it_from_the_start_to_the_end() -> None:
    app, rejections = App(headers=[(b"content-length", b"4")]), Rejections()

    async def served(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http", "the app's life is not this test's"
        await app(scope, receive, send)

    async def talk(plug: socket.socket) -> bytes:
        config = config_of(guarded(served, RULES, None, rejections), RULES, rejections)
        config.lifespan = "off"
        server = uvicorn.Server(config)
        serving = asyncio.ensure_future(server.serve(sockets=[plug]))
        async with connected(plug.getsockname()[1]) as client:
            await client.send(
                POST + b"Content-Length: 2\r\n\r\n{}" + GET + b"X-Forwarded-For: 8.8.8.8\r\n\r\n"
            )
            answer = await client.response() + await client.response()
            server.should_exit = True
            assert await client.rest() == b""
        await asyncio.wait_for(serving, 5)
        return answer

    with socket.create_server(("127.0.0.1", 0)) as plug:
        answer = asyncio.run(talk(plug))
    assert answer.count(b"HTTP/1.1 200 OK") == 2
    assert b"server: " not in answer
    assert app.bodies == [b"{}", b""]
    assert {scope["state"]["client"] for scope in app.scopes} == {"127.0.0.1"}


def test_a_client_of_a_unix_socket_has_no_address_and_is_answered(tmp_path: Path) -> None:
    app = App(headers=[(b"content-length", b"4")])

    async def talk() -> bytes:
        config = config_of(guarded(app, RULES, None, Rejections()), RULES, Rejections())
        config.load()
        state = ServerState()

        def protocol() -> asyncio.Protocol:
            return config.http_protocol_class(config=config, server_state=state, app_state={})  # type: ignore[call-arg]

        server = await asyncio.get_running_loop().create_unix_server(protocol, tmp_path / "socket")
        reader, writer = await asyncio.open_unix_connection(tmp_path / "socket")
        writer.write(GET + b"Connection: close\r\n\r\n")
        answer = await asyncio.wait_for(reader.read(), 5)
        writer.close()
        server.close()
        await server.wait_closed()
        return answer

    assert status_of(asyncio.run(talk())) == 200
    assert app.scopes[0]["state"]["client"] == "local"
