"""The guards together: their order, and what every response carries."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edge_runtime.server.listener.guarded import guarded
from edge_runtime.server.listener.keys import Keys
from edge_runtime.server.listener.rules import GuardRules
from tests.edge_runtime.server.listener.asking import App, Rejections, ask

KEY = "key-of-the-test-0123456789"
RULES = GuardRules(max_body_bytes=10, linger_s=0.01, body_s=0.05, cors_origins=("https://app.example",))
GOOD = {"authorization": f"Bearer {KEY}", "content-length": "2"}


@dataclass
class Guarded:
    app: App
    rejections: Rejections
    whole: ASGIApp


@pytest.fixture
def server(tmp_path: Path) -> Guarded:
    path = tmp_path / "keys"
    path.write_text(f"{KEY} tester\n")
    path.chmod(0o600)
    app, rejections = App(), Rejections()
    return Guarded(app, rejections, guarded(app, RULES, Keys(path), rejections))


# Each is wrong in one more way than the next: what is told is what comes first.
WRONG: list[tuple[int, str, Mapping[str, str]]] = [
    (421, "unknown_host", {"host": "evil.example", "origin": "https://evil.example", "content-length": "99"}),
    (403, "cross_origin", {"origin": "https://evil.example", "content-length": "99"}),
    (401, "invalid_api_key", {"content-length": "99"}),
    (413, "body_too_large", {**GOOD, "content-length": "99"}),
    (408, "body_too_slow", GOOD),
]


@pytest.mark.parametrize(("status", "code", "headers"), WRONG)
def test_the_first_guard_that_has_something_against_a_request_refuses_it(
    server: Guarded, status: int, code: str, headers: Mapping[str, str]
) -> None:
    reply = ask(server.whole, "/v1/completions", "POST", headers, is_silent=True)
    assert (reply.status, reply.error["code"]) == (status, code)
    assert server.rejections.codes == [code]
    assert server.app.scopes == []


@pytest.mark.parametrize(("status", "code", "headers"), WRONG)
def test_refusals_are_error_objects_that_tell_nothing_of_this_machine(
    server: Guarded, status: int, code: str, headers: Mapping[str, str]
) -> None:
    reply = ask(server.whole, "/v1/completions", "POST", headers, is_silent=True)
    assert set(reply.error) == {"message", "type", "param", "code"}
    assert reply.headers["content-type"] == "application/json"
    assert not re.search(r"0x[0-9a-f]{6,}|/home|/usr|/tmp|\.py|evil", reply.body.decode())


@pytest.mark.parametrize("headers", [GOOD, *(headers for *_, headers in WRONG)])
def test_every_response_has_a_name_and_safe_headers(server: Guarded, headers: Mapping[str, str]) -> None:
    reply = ask(server.whole, "/v1/completions", "POST", {**headers, "x-request-id": "mine"}, is_silent=True)
    assert reply.headers["x-request-id"] == "mine"
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.headers["referrer-policy"] == "no-referrer"
    assert reply.headers["cache-control"] == "no-store"
    assert "frame-ancestors 'none'" in reply.headers["content-security-policy"]


def test_a_good_request_comes_through_with_all_that_is_known_of_it(server: Guarded) -> None:
    headers = {**GOOD, "x-request-id": "mine", "origin": "https://app.example"}
    reply = ask(server.whole, "/v1/completions", "POST", headers, [b"{}"])
    assert (reply.status, server.app.bodies, server.rejections.codes) == (200, [b"{}"], [])
    assert server.app.scopes[0]["state"] == {"request_id": "mine", "client": "tester"}
    assert reply.headers["access-control-allow-origin"] == "https://app.example"


def test_an_allowed_page_can_read_why_its_key_was_refused(server: Guarded) -> None:
    reply = ask(server.whole, "/v1/models", headers={"origin": "https://app.example"})
    assert (reply.status, reply.headers["access-control-allow-origin"]) == (401, "https://app.example")


def test_the_apps_own_policy_and_caching_win() -> None:
    own = [(b"Content-Security-Policy", b"default-src 'self'"), (b"cache-control", b"max-age=60")]
    reply = ask(guarded(App(headers=own), RULES, None, Rejections()))
    named = [(name.lower(), value) for name, value in reply.raw]
    assert [value for name, value in named if name == "content-security-policy"] == ["default-src 'self'"]
    assert [value for name, value in named if name == "cache-control"] == ["max-age=60"]


def test_the_apps_life_is_not_guarded_and_web_sockets_are_closed() -> None:
    seen: list[str] = []
    sent: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["type"])

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        raise AssertionError("nothing is read")

    whole = guarded(app, RULES, None, Rejections())
    asyncio.run(asyncio.wait_for(_both(whole, receive, send), 5))
    assert seen == ["lifespan"]
    assert sent == [{"type": "websocket.close", "code": 1008}]


async def _both(whole: ASGIApp, receive: Receive, send: Send) -> None:
    for kind in ("lifespan", "websocket"):
        await whole({"type": kind}, receive, send)
