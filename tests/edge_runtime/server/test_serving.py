"""A server's life: it listens, becomes ready, reads its settings again, and ends well."""

from __future__ import annotations

import asyncio
import errno
import json
import signal
import socket
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge_runtime.errors import EdgeVLError
from edge_runtime.server.engine import Health
from edge_runtime.server.front import WholeFront
from edge_runtime.server.notify import Notifier
from tests.edge_runtime.server.served import OwnFakeEngine, Served, question, send, served
from tests.edge_runtime.server.test_notify import managed

KEY, OTHER_KEY = "k" * 32, "o" * 32


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    before = [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)]
    asyncio.run(test())
    assert [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)] == before


def test_it_listens_before_the_engine_is_there_and_is_ready_when_it_is() -> None:
    async def test() -> None:
        engine = OwnFakeEngine()
        engine.opening.clear()
        async with served(engine) as server:
            assert (await server.get("/health/live"))[0] == 200
            assert (await server.get("/health/ready")) == (
                503,
                {"status": "starting", "why": "the engine is being opened"},
            )
            assert (await server.post("/v1/chat/completions", question()))[0] == 503
            engine.opening.set()
            await server.ready()
            assert (await server.get("/health/ready"))[0] == 200
            status, answer = await server.post("/v1/chat/completions", question())
            assert (status, answer["choices"][0]["message"]["content"]) == (200, "It is red.")

    run(test)


def test_when_it_is_ready_it_tells_where_how_and_by_whom_it_is_answered() -> None:
    async def test() -> None:
        async with served(OwnFakeEngine()) as server:
            await server.ready()
            (banner,) = server.banners
            told = "\n".join(banner.lines())
            record = banner.record()
        for words in (f"http://127.0.0.1:{server.port}", "this machine only", "fake (there is no other)", "decoder fp32",
                      "256 tokens, 2 at once", "MiB left"):  # fmt: skip
            assert words in told
        assert json.loads(json.dumps(record)) == record
        assert record["url"] == f"http://127.0.0.1:{server.port}"
        assert (record["auth"], record["engine"], record["slots"]) == ("none", "fake", 2)

    run(test)


def test_what_keeps_the_engine_from_opening_ends_it_and_frees_the_port() -> None:
    async def test() -> None:
        engine = OwnFakeEngine()
        engine.opening_fault = EdgeVLError(
            "EVL-BUNDLE-HASH", "the bundle is broken", "a hash", "get it again"
        )
        engine.opening.clear()
        async with served(engine) as server:
            port = server.port
            engine.opening.set()
            with pytest.raises(EdgeVLError, match="EVL-BUNDLE-HASH"):
                await server.status()
        assert engine.closed
        socket.create_server(("127.0.0.1", port)).close()

    run(test)


def test_a_worker_that_goes_away_does_not_take_the_front_end_along() -> None:
    async def test() -> None:
        engine = OwnFakeEngine()
        async with served(engine) as server:
            await server.ready()
            engine.health = Health("restarting", "it went away", restarts=1)
            assert (await server.get("/health/ready"))[0] == 503
            engine.health = Health("ready", restarts=1)
            assert (await server.get("/health/ready"))[0] == 200
            assert len(server.banners) == 1

    run(test)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_stop_it_is_not_ready_at_once_answers_to_the_end_and_exits_well(
    number: signal.Signals,
) -> None:
    async def test() -> None:
        engine = OwnFakeEngine()
        engine.gate.clear()
        engine.gated = 1
        async with served(engine, drain_notice_s=0.5) as server, server.caller() as caller:
            await server.ready()
            caller.send("POST", "/v1/chat/completions", question(stream=True))
            await caller.until(b"It ")
            send(number)
            await server.until_noted("stopping")
            assert (await server.get("/health/ready")) == (
                503,
                {"status": "draining", "why": "the server is about to end"},
            )
            engine.gate.set()
            rest = await caller.rest()
            assert b"red." in rest
            assert b"data: [DONE]\n\n" in rest
            assert b'"error"' not in rest
            assert await server.status() == 0
            assert server.notes[-1] == "stopped; requests broken off: 0"
            with pytest.raises(ConnectionRefusedError):
                await server.get("/health/live")

    run(test)


def test_an_idle_connection_keeps_nobody_waiting() -> None:
    async def test() -> None:
        async with served(OwnFakeEngine()) as server, server.caller() as idle, server.caller() as asked:
            await server.ready()
            assert (await asked.ask("GET", "/health/live"))[0] == 200
            send(signal.SIGTERM)
            assert await server.status() == 0
            assert (await idle.rest(), await asked.rest()) == (b"", b"")

    run(test)


def test_what_is_not_answered_in_time_is_told_so_and_the_stream_has_its_end() -> None:
    async def test() -> None:
        engine = OwnFakeEngine()
        engine.gate.clear()
        engine.gated = 1
        async with served(engine, drain_timeout_s=0.05) as server, server.caller() as caller:
            await server.ready()
            caller.send("POST", "/v1/chat/completions", question(stream=True))
            await caller.until(b"It ")
            send(signal.SIGTERM)
            rest = await caller.rest()
            events = [line for line in rest.replace(b"\r", b"").split(b"\n") if line.startswith(b"data: ")]
            assert json.loads(events[-2][6:])["error"]["type"] == "server_error"
            assert events[-1] == b"data: [DONE]"
            assert await server.status() == 0
            assert server.notes[-1] == "stopped; requests broken off: 1"

    run(test)


def test_a_whole_answer_that_is_not_there_in_time_is_an_error_with_a_status() -> None:
    async def test() -> None:
        engine = OwnFakeEngine()
        engine.gate.clear()
        async with served(engine, drain_timeout_s=0.05) as server, server.caller() as caller:
            await server.ready()
            asking = asyncio.ensure_future(caller.ask("POST", "/v1/chat/completions", question()))
            while not engine.asked:
                await asyncio.sleep(0)
            send(signal.SIGTERM)
            status, told = await asking
            assert (status, told["error"]["type"]) == (503, "server_error")
            assert await server.status() == 0

    run(test)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_second_signal_ends_it_at_once(number: signal.Signals, status: int) -> None:
    async def test() -> None:
        engine = OwnFakeEngine()
        engine.gate.clear()
        engine.gated = 1
        async with served(engine, drain_notice_s=60, drain_timeout_s=60) as server, server.caller() as caller:
            await server.ready()
            caller.send("POST", "/v1/chat/completions", question(stream=True))
            await caller.until(b"It ")
            send(signal.SIGTERM)
            await server.until_noted("stopping")
            send(number)
            assert await server.status() == status
            rest = await caller.rest()
            assert b'"error"' in rest
            assert rest.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")

    run(test)


def test_whoever_does_not_read_its_answer_keeps_nobody_waiting(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        engine = OwnFakeEngine()
        engine.texts = ("x" * 1_000_000,) * 20
        async with served(engine, drain_timeout_s=0) as server, server.caller() as caller:
            await server.ready()
            caller.send("POST", "/v1/chat/completions", question(stream=True))
            await caller.until(b"xxx")
            send(signal.SIGTERM)
            assert await server.status() == 0
            assert server.notes[-1] == "stopped; requests broken off: 1"

    run(test)
    assert caplog.text == ""


def test_told_to_stop_before_the_engine_is_there_it_ends_well() -> None:
    async def test() -> None:
        engine = OwnFakeEngine()
        engine.opening.clear()
        async with served(engine) as server:
            send(signal.SIGTERM)
            assert await server.status() == 0
            assert engine.closed
            assert not server.banners

    run(test)


def test_a_server_whose_terminal_is_gone_ends_instead_of_reading_its_settings_again() -> None:
    async def test() -> None:
        async with served(OwnFakeEngine()) as server:
            await server.ready()
            server.is_left = True
            send(signal.SIGHUP)
            assert await server.status() == 0

    run(test)


async def models(server: Served, key: str) -> int:
    return (await server.get("/v1/models", Authorization=f"Bearer {key}"))[0]


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """A file with KEY in it."""
    path = tmp_path / "keys"
    path.write_text(KEY)
    path.chmod(0o600)
    return path


def test_hung_up_it_reads_keys_and_settings_again(keys: Path) -> None:
    async def test() -> None:
        async with served(OwnFakeEngine(), api_key_file=keys) as server:
            await server.ready()
            assert [await models(server, KEY), await models(server, OTHER_KEY)] == [200, 401]
            keys.write_text(OTHER_KEY)
            send(signal.SIGHUP)
            await server.until_noted("the settings were read again")
            assert [await models(server, KEY), await models(server, OTHER_KEY)] == [401, 200]

    run(test)


def test_what_needs_a_new_start_is_named() -> None:
    async def test() -> None:
        async with served(OwnFakeEngine()) as server:
            await server.ready()
            assert not isinstance(server.settings, EdgeVLError)
            server.settings = replace(server.settings, slots=9, port=1, max_images=3)
            send(signal.SIGHUP)
            await server.until_noted("a new start is needed for port, slots")
            assert (await server.get("/health/ready"))[0] == 200

    run(test)


def test_bad_settings_leave_the_old_ones_in_force(keys: Path) -> None:
    async def test() -> None:
        async with served(OwnFakeEngine(), api_key_file=keys) as server:
            await server.ready()
            old = server.settings
            server.settings = EdgeVLError("EVL-SETTING-UNKNOWN", "prot is no setting", "a slip", "mend it")
            send(signal.SIGHUP)
            await server.until_noted("the settings stay as they were: prot is no setting")
            server.settings = old
            keys.write_text("short")
            send(signal.SIGHUP)
            await server.until_noted("EVL-KEY-LINE")
            assert [await models(server, KEY), await models(server, "short")] == [200, 401]

    run(test)


def test_a_machine_that_refuses_to_read_leaves_the_old_settings_in_force(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refused(*_: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    async def test() -> None:
        async with served(OwnFakeEngine()) as server:
            await server.ready()
            monkeypatch.setattr(WholeFront, "app", refused)
            send(signal.SIGHUP)
            await server.until_noted("the settings stay as they were: [Errno 24] Too many open files")
            assert (await server.get("/health/ready"))[0] == 200

    run(test)


def test_keys_that_are_needed_cannot_be_taken_away_while_it_runs(keys: Path) -> None:
    async def test() -> None:
        async with served(OwnFakeEngine(), host="0.0.0.0", api_key_file=keys) as server:
            await server.ready()
            assert not isinstance(server.settings, EdgeVLError)
            server.settings = replace(server.settings, api_key_file=None)
            send(signal.SIGHUP)
            await server.until_noted("EVL-SERVE-NO-KEY")
            assert await models(server, "none") == 401

    run(test)


def test_it_does_not_listen_beyond_this_machine_without_keys() -> None:
    async def test() -> None:
        with pytest.raises(EdgeVLError, match="EVL-SERVE-NO-KEY"):
            async with served(OwnFakeEngine(), host="0.0.0.0"):
                pass

    run(test)


def test_health_answers_at_its_own_socket_however_many_are_connected(tmp_path: Path) -> None:
    async def test() -> None:
        engine = OwnFakeEngine()
        engine.gate.clear()
        place = tmp_path / "health.sock"
        async with served(engine, connections=1, health_socket=place) as server, server.caller() as busy:
            await server.ready()
            busy.send("POST", "/v1/chat/completions", question())
            while not engine.asked:
                await asyncio.sleep(0)
            assert (await server.get("/health/ready"))[0] == 503  # no place
            assert (await server.get("/health/ready", place)) == (200, {"status": "ready", "why": ""})
            assert (await server.get("/v1/models", place))[0] == 404
            engine.gate.set()
            assert (await busy.head()).startswith(b"HTTP/1.1 200")
        assert not place.exists()

    run(test)


def test_at_a_unix_socket_it_is_reached_by_that_alone(tmp_path: Path) -> None:
    place = tmp_path / "edge.sock"

    async def test() -> None:
        async with served(OwnFakeEngine(), uds=place) as server:
            await server.ready()
            assert place.stat().st_mode & 0o777 == 0o660
            assert (await server.get("/v1/models"))[0] == 200
            assert server.banners[0].record()["url"].startswith("http+unix://%2F")  # type: ignore[attr-defined]
        assert not place.exists()

    run(test)


def test_the_service_manager_hears_of_readiness_reloading_and_the_end(tmp_path: Path) -> None:
    async def test() -> None:
        with managed(str(tmp_path / "notify")) as manager:
            engine = OwnFakeEngine()
            engine.opening.clear()
            async with served(engine, Notifier(manager.address)) as server:
                assert await asyncio.to_thread(manager.heard) == [
                    "STATUS=starting: the engine is being opened"
                ]
                engine.opening.set()
                assert (await asyncio.to_thread(manager.heard))[0] == "READY=1"
                send(signal.SIGHUP)
                assert (await asyncio.to_thread(manager.heard))[0] == "RELOADING=1"
                assert (await asyncio.to_thread(manager.heard))[0] == "READY=1"
                send(signal.SIGTERM)
                assert (await asyncio.to_thread(manager.heard))[0] == "STOPPING=1"
                assert await server.status() == 0

    run(test)


def test_the_watchdog_hears_of_life_while_the_last_answers_end(tmp_path: Path) -> None:
    async def test() -> None:
        with managed(str(tmp_path / "notify")) as manager:
            engine = OwnFakeEngine()
            engine.gate.clear()
            engine.gated = 1
            async with served(engine, Notifier(manager.address, 0.1)) as server, server.caller() as caller:
                await server.ready()
                caller.send("POST", "/v1/chat/completions", question(stream=True))
                await caller.until(b"It ")
                send(signal.SIGTERM)
                while (await asyncio.to_thread(manager.heard))[0] != "STOPPING=1":
                    pass
                assert await asyncio.to_thread(manager.heard) == ["WATCHDOG=1"]
                engine.gate.set()
                assert await server.status() == 0

    run(test)
