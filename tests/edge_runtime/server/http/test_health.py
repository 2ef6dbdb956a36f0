"""What balancers, units and people learn of the state of a server, and what they do not."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

import httpx2
import pytest
from fastapi import FastAPI

from edge_runtime.server.engine import Condition, EngineState, Health
from edge_runtime.server.http.health import health_router
from tests.edge_runtime.server.fake_engine import FACTS, FakeEngine

PATHS = ("/health/live", "/health/ready", "/health")
BUNDLE = "/srv/models/bundle"


@dataclass
class Drain:
    is_draining: bool = False


class Server:
    """An app of the health routes, and what stands behind it."""

    def __init__(self) -> None:
        self.engine = FakeEngine()
        self.drain = Drain()
        self.app = FastAPI()
        self.app.include_router(health_router(self.engine, self.drain, stuck_after_s=60))

    def got(self, path: str, method: str = "GET") -> httpx2.Response:
        async def got() -> httpx2.Response:
            transport = httpx2.ASGITransport(app=self.app)
            async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
                return await client.request(method, path)

        return asyncio.run(got())


@pytest.mark.parametrize("path", PATHS)
def test_a_server_that_answers_is_well(path: str) -> None:
    response = Server().got(path)
    assert response.status_code == 200
    assert response.headers["cache-control"] == "no-store"
    assert "retry-after" not in response.headers


@pytest.mark.parametrize("path", PATHS)
def test_head_tells_the_same_status(path: str) -> None:
    server = Server()
    assert server.got(path, "HEAD").status_code == 200
    server.drain.is_draining = True
    assert server.got(path, "HEAD").status_code == server.got(path).status_code


@pytest.mark.parametrize("condition", ["starting", "restarting", "failed"])
@pytest.mark.parametrize("path", ["/health/ready", "/health"])
def test_an_engine_that_is_not_there_is_told_with_a_time_to_come_back(
    path: str, condition: Condition
) -> None:
    server = Server()
    server.engine.health = Health(condition)
    response = server.got(path)
    assert response.status_code == 503
    assert response.json()["status"] == condition
    assert response.json()["why"]
    assert int(response.headers["retry-after"]) > 0


@pytest.mark.parametrize("path", ["/health/ready", "/health"])
def test_a_server_about_to_end_is_not_ready_whatever_its_engine(path: str) -> None:
    server = Server()
    server.drain.is_draining = True
    response = server.got(path)
    assert (response.status_code, response.json()["status"]) == (503, "draining")
    assert int(response.headers["retry-after"]) > 0


def test_a_front_end_lives_whatever_the_engine_does() -> None:
    server = Server()
    server.engine.health, server.engine.facts = Health("failed", "it is broken"), None
    server.drain.is_draining = True
    response = server.got("/health/live")
    assert (response.status_code, response.json()) == (200, {"status": "live"})


def test_whether_it_is_ready_says_nothing_more_to_strangers() -> None:
    server = Server()
    assert server.got("/health/ready").json() == {"status": "ready", "why": ""}
    server.engine.health = Health("failed", "the secret reason", 7, ("secret",))
    response = server.got("/health/ready")
    assert response.json().keys() == {"status", "why"}
    assert "secret" not in response.text


def test_health_tells_what_answers_and_how() -> None:
    server = Server()
    server.engine.state = EngineState(running=1, waiting=2, last_token_age_s=0.5)
    server.engine.health = Health("ready", "", 3, ("tensorrt was passed over: it is of another version",))
    assert server.got("/health").json() == {
        "status": "ready",
        "why": "",
        "model": FACTS.model,
        "engine": FACTS.engine,
        "engine_reason": FACTS.engine_reason,
        "precision": FACTS.precision,
        "restarts": 3,
        "degraded": ["tensorrt was passed over: it is of another version"],
        "running": 1,
        "waiting": 2,
        "last_token_age_s": 0.5,
    }


def test_health_tells_the_engines_own_reason() -> None:
    server = Server()
    server.engine.health = Health("failed", "the bundle is damaged")
    server.engine.facts = None
    found = server.got("/health").json()
    assert found["why"] == "the bundle is damaged"
    assert found["engine"] is None


@pytest.mark.parametrize(("age_s", "status"), [(59.0, 200), (61.0, 503), (None, 200)])
def test_an_engine_that_works_without_getting_on_is_stuck(age_s: float | None, status: int) -> None:
    server = Server()
    server.engine.state = EngineState(running=1, last_token_age_s=age_s)
    response = server.got("/health")
    assert response.status_code == status
    assert (response.json()["status"] == "stuck") == (status == 503)


def test_an_engine_that_is_gone_is_not_stuck() -> None:
    server = Server()
    server.engine.state = EngineState(running=1, last_token_age_s=600.0)
    server.engine.health = Health("restarting")
    found = server.got("/health").json()
    assert found["status"] == "restarting"
    assert (found["running"], found["last_token_age_s"]) == (0, None)


@pytest.mark.parametrize("field", ["why", "engine_reason", "degraded"])
def test_no_place_of_this_machine_is_told(field: str) -> None:
    server = Server()
    text = f"{BUNDLE}/engines/decoder.plan cannot be read at 0x7ffd00ab12 and/or 1/2"
    server.engine.facts = replace(FACTS, engine_reason=text)
    server.engine.health = Health("failed", text, 0, (text,))
    found = str(server.got("/health").json()[field])
    assert "cannot be read" in found
    assert "and/or 1/2" in found
    assert BUNDLE not in found
    assert "0x" not in found


def test_the_schema_tells_of_503() -> None:
    paths = Server().app.openapi()["paths"]
    assert set(paths) == set(PATHS)
    assert "503" not in paths["/health/live"]["get"]["responses"]
    for path in ("/health/ready", "/health"):
        told = paths[path]["get"]["responses"]["503"]
        assert "Retry-After" in told["headers"]
        assert "$ref" in told["content"]["application/json"]["schema"]
