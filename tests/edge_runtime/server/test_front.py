"""A full house, before everything that stands between the sockets and the engine: turned away at a glance or after all guards."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from edge_runtime.server.json_line import fields_of
from edge_runtime.server.settings import Settings
from tests.edge_runtime.server.served import OwnFakeEngine, Served, question, send, served

PATH = "/v1/chat/completions"
FIRST, OTHER = "a" * 43, "b" * 43


@dataclass
class House:
    """Full; `status` asks in one piece, or in two, of which no glance makes anything."""

    server: Served

    async def status(self, key: str, *fields: str, pieces: int = 1, path: Path | None = None) -> int:
        body = json.dumps(question()).encode()
        lines = [f"POST {PATH} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}"]
        lines += ["Content-Type: application/json", f"Authorization: Bearer {key}", *fields]
        data = "\r\n".join([*lines, "", ""]).encode() + body
        async with self.server.caller(path) as caller:
            for piece in [data] if pieces == 1 else [data[:9], data[9:]]:
                caller.writer.write(piece)
                await asyncio.sleep(0.03)
            return int((await caller.head()).split()[1])

    async def statuses(self, key: str) -> list[int]:
        return [await self.status(key, pieces=pieces) for pieces in (1, 2)]


def key_file(folder: Path, key: str) -> Path:
    path = folder / f"{key[:1]}.keys"
    path.write_text(f"{key} kitchen\n")
    path.chmod(0o600)
    return path


@asynccontextmanager
async def full_house(folder: Path, **more: Any) -> AsyncIterator[House]:
    engine = OwnFakeEngine()
    engine.gate.clear()
    keys = key_file(folder, FIRST)
    async with served(engine, slots=1, waiting=1, api_key_file=keys, **more) as server:
        await server.ready()
        inside = [
            asyncio.ensure_future(server.post(PATH, question(), Authorization=f"Bearer {FIRST}"))
            for _ in range(2)
        ]
        house = House(server)
        while len(engine.asked) < len(inside):
            await asyncio.sleep(0.001)
        yield house
        engine.gate.set()
        await asyncio.gather(*inside)


def run(folder: Path, talk: Callable[[House], Awaitable[None]], **more: Any) -> None:
    async def whole() -> None:
        async with full_house(folder, **more) as house:
            await talk(house)

    asyncio.run(whole())


def test_both_ways_are_counted_and_logged_alike(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def refused(house: House) -> float:
        async with house.server.caller() as caller:
            caller.send("GET", "/metrics", Authorization=f"Bearer {FIRST}")
            told = (await caller.until(b"# HELP edgevl_ignored")).decode()
        line = next(
            each for each in told.splitlines() if 'reason="queue_full"' in each and "rejected" in each
        )
        return float(line.split()[-1])

    async def talk(house: House) -> None:
        before = await refused(house)
        caplog.clear()
        for number, pieces in (("one", 1), ("two", 2)):
            assert await house.status(FIRST, f"X-Request-ID: {number}", pieces=pieces) == 429
        assert await refused(house) == before + 2

    with caplog.at_level(logging.INFO, "edge_runtime"):
        run(tmp_path, talk)
    told = [fields_of(each) for each in caplog.records if fields_of(each).get("status") == 429]
    said = ("request_id", "method", "client", "status")
    assert [[each[name] for name in said] for each in told] == [
        [number, "POST", "kitchen", 429] for number in ("one", "two")
    ]


def test_strangers_hear_the_same_both_ways(tmp_path: Path) -> None:
    async def talk(house: House) -> None:
        assert await house.statuses(OTHER) == [401, 401]
        for pieces in (1, 2):
            assert await house.status(FIRST, "Host: other.example", pieces=pieces) == 400
            assert await house.status(FIRST, "Origin: https://other.example", pieces=pieces) == 403

    run(tmp_path, talk)


def test_where_only_health_is_told_nobody_is_turned_away(tmp_path: Path) -> None:
    door = tmp_path / "health.sock"

    async def talk(house: House) -> None:
        for pieces in (1, 2):
            assert await house.status(FIRST, pieces=pieces, path=door) == 404

    run(tmp_path, talk, health_socket=door)


def test_new_keys_hold_both_ways_and_those_of_a_reload_that_fails_neither(tmp_path: Path) -> None:
    async def reloaded(house: House, words: str, **changed: object) -> None:
        assert isinstance(house.server.settings, Settings)
        house.server.settings = Settings(
            tmp_path / "bundle",
            port=0,
            slots=1,
            waiting=1,
            api_key_file=key_file(tmp_path, OTHER),
            **changed,  # type: ignore[arg-type]
        )
        send(signal.SIGHUP)
        await house.server.until_noted(words)

    async def talk(house: House) -> None:
        await reloaded(house, "stay as they were", host_name=("a" * 70 + ".example",))
        assert await house.statuses(FIRST) == [429, 429]
        assert await house.statuses(OTHER) == [401, 401]
        await reloaded(house, "were read again")
        assert await house.statuses(FIRST) == [401, 401]
        assert await house.statuses(OTHER) == [429, 429]

    run(tmp_path, talk)
