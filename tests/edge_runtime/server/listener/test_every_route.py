"""The real app's routes, each without a key: nothing is open that was not meant to be."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from pathlib import Path

from starlette.routing import BaseRoute, Route

from edge_runtime.server.listener.guarded import guarded
from edge_runtime.server.listener.keys import Keys
from edge_runtime.server.listener.rules import GuardRules
from tests.edge_runtime.server.http.asgi import call
from tests.edge_runtime.server.http.house import House
from tests.edge_runtime.server.listener.asking import Rejections

KEY = "key-of-the-test-0123456789"
OPEN = {
    (method, path)
    for method in ("GET", "HEAD")
    for path in ("/", "/page/{name}", "/health/live", "/health/ready")
}


def routes_of(routes: Iterable[BaseRoute]) -> Iterator[tuple[str, str]]:
    """Method and path of each, of included routers too."""
    for route in routes:
        inner = getattr(route, "original_router", None)
        if inner is not None:
            yield from routes_of(inner.routes)
        else:
            assert isinstance(route, Route), "a route of another kind: is it guarded?"
            yield from ((method, route.path) for method in route.methods or ())


def keys_in(folder: Path) -> Keys:
    path = folder / "keys"
    path.write_text(f"{KEY} tester admin\n")
    path.chmod(0o600)
    return Keys(path)


def test_every_route_wants_a_key_but_the_page_and_what_says_whether_the_server_is_up(tmp_path: Path) -> None:
    house, keys = House(), keys_in(tmp_path)
    whole = guarded(house.app, GuardRules(linger_s=0.01), keys, Rejections())
    found = set(routes_of(house.app.routes))
    assert {("POST", "/v1/chat/completions"), ("GET", "/metrics"), ("GET", "/openapi.json")} <= found

    async def statuses() -> dict[tuple[str, str], int]:
        answers = {}
        for method, path in sorted(found):
            whole_path = path.replace("{name}", "main.js")
            answers[method, path] = (
                await call(whole, method, whole_path, headers={"host": "localhost"})
            ).status
        return answers

    refused = {route for route, status in asyncio.run(statuses()).items() if status == 401}
    assert refused == found - OPEN
    assert refused


def test_with_its_key_every_route_is_reached(tmp_path: Path) -> None:
    house, keys = House(), keys_in(tmp_path)
    whole = guarded(house.app, GuardRules(linger_s=0.01), keys, Rejections())
    headers = {"host": "localhost", "authorization": f"Bearer {KEY}"}

    async def statuses() -> set[int]:
        found = sorted(routes_of(house.app.routes))
        return {(await call(whole, method, path, headers=headers)).status for method, path in found}

    assert not asyncio.run(statuses()) & {401, 403, 421}
