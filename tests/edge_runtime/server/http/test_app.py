"""The app as a whole."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

from tests.edge_runtime.server.http.asgi import Reply, call
from tests.edge_runtime.server.http.house import CHAT, House, chat, got

HEAVY = "numpy PIL tokenizers onnxruntime tensorrt llguidance torch"


def test_the_app_needs_no_library_of_the_engine() -> None:
    code = f"import sys, edge_runtime.server.http.app; print(*set('{HEAVY}'.split()) & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_whatever_posts_wants_json() -> None:
    house = House()
    paths = [path for path, told in got("/openapi.json", house).json["paths"].items() if "post" in told]

    async def post(path: str) -> Reply:
        return await house.post(path, b"a=b", {"content-type": "application/x-www-form-urlencoded"})

    assert len(paths) == 5
    for path in paths:
        assert asyncio.run(post(path)).status == 415, path


def test_nothing_is_redirected() -> None:
    assert got("/v1/models/").status == 404
    assert got("/health/live/").status == 404


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/v2/models", "/invocations"])
def test_there_are_no_doors_besides(path: str) -> None:
    reply = got(path)
    assert reply.status == 404
    assert reply.json["error"]["type"] == "invalid_request_error"


def test_health_and_metrics_and_the_page_are_there() -> None:
    for path in ("/health/live", "/health/ready", "/health", "/metrics", "/"):
        assert got(path).status == 200, path


def test_while_the_server_is_about_to_end_questions_are_still_answered() -> None:
    house = House()
    house.drain.is_draining = True
    assert asyncio.run(house.post(CHAT, chat())).status == 200
    assert asyncio.run(call(house.app, "GET", "/health/ready")).status == 503


def test_the_line_that_is_logged_of_a_request_is_told_what_it_took() -> None:
    house = House()

    async def ask() -> dict[str, object]:
        scope: dict[str, object] = {}

        async def outer(inner: dict[str, object], receive: object, send: object) -> None:
            await house.app(inner, receive, send)  # type: ignore[arg-type]
            scope.update(inner)

        await call(outer, "POST", CHAT, chat("abc"), state={"client": "me"})
        return scope

    notes = asyncio.run(ask())["edgevl.notes"]
    assert isinstance(notes, dict)
    assert (notes["client"], notes["prompt_tokens"], notes["completion_tokens"]) == ("me", 3, 3)
