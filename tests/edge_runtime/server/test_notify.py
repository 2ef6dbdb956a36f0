"""What systemd is told, by a socket that stands in for its own."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edge_runtime.errors import MachineFault
from edge_runtime.server.bulletin import Bulletin
from edge_runtime.server.engine import EngineState, Health
from edge_runtime.server.notify import Liveness, Notifier, Watchdog
from tests.edge_runtime.server.fake_engine import FakeEngine

PATIENCE = Liveness(moving_s=10, absent_s=30)


class Manager:
    """As systemd. A word that does not come fails the test instead of holding it."""

    def __init__(self, place: str) -> None:
        self._ear = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._ear.settimeout(10)
        self._ear.bind(place)
        self.address = f"@{place[1:]}" if place.startswith("\0") else place

    def heard(self) -> list[str]:
        return self._ear.recv(4096).decode().split("\n")

    def is_silent(self) -> bool:
        self._ear.setblocking(False)
        try:
            self._ear.recv(4096)
        except BlockingIOError:
            return True
        finally:
            self._ear.settimeout(10)
        return False

    def close(self) -> None:
        self._ear.close()


@contextmanager
def managed(place: str) -> Iterator[Manager]:
    manager = Manager(place)
    try:
        yield manager
    finally:
        manager.close()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    with managed(str(tmp_path / "notify")) as made:
        yield made


def notifier(manager: Manager, **more: str) -> Notifier:
    return Notifier.from_environment({"NOTIFY_SOCKET": manager.address, **more}, os.getpid())


def test_ready_comes_with_a_status_of_one_line(manager: Manager) -> None:
    notifier(manager).ready("one\nREADY=0")
    assert manager.heard() == ["READY=1", "STATUS=one READY=0"]


def test_an_abstract_socket_is_understood() -> None:
    with managed(f"\0edge-vl-test-{os.getpid()}") as manager:
        notifier(manager).stopping("bye")
        assert manager.heard() == ["STOPPING=1", "STATUS=bye"]


def test_reloading_comes_with_the_time_of_the_monotonic_clock(manager: Manager) -> None:
    before = time.monotonic_ns() // 1000
    notifier(manager).reloading()
    word, stamp = manager.heard()
    assert word == "RELOADING=1"
    name, _, at = stamp.partition("=")
    assert name == "MONOTONIC_USEC"
    assert before <= int(at) <= time.monotonic_ns() // 1000


@pytest.mark.parametrize("environ", [{}, {"NOTIFY_SOCKET": ""}, {"WATCHDOG_USEC": "1000000"}])
def test_without_a_manager_nothing_is_said_and_nothing_is_watched(environ: dict[str, str]) -> None:
    alone = Notifier.from_environment(environ, 1)
    alone.ready("nobody hears it")
    assert alone.watchdog_s is None


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({"WATCHDOG_USEC": "2500000"}, 2.5),
        ({"WATCHDOG_USEC": "2500000", "WATCHDOG_PID": str(os.getpid())}, 2.5),
        ({"WATCHDOG_USEC": "2500000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_the_watchdogs_period_is_the_managers_where_it_means_us(
    environ: dict[str, str], seconds: float | None, manager: Manager
) -> None:
    assert notifier(manager, **environ).watchdog_s == seconds


def test_a_manager_that_is_gone_is_a_fault_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(MachineFault, match="NOTIFY_SOCKET"):
        Notifier(str(tmp_path / "gone")).alive()


@pytest.mark.parametrize(
    ("health", "age_s", "away_s", "is_alive"),
    [
        (Health("ready"), None, 0, True),  # idle, and its worker answers probes
        (Health("ready"), 9, 0, True),
        (Health("ready"), 11, 0, False),  # works and gets nowhere
        (Health("starting"), None, 29, True),
        (Health("restarting"), 99, 29, True),  # the age is a dead worker's
        (Health("restarting"), None, 31, False),
        (Health("failed"), None, 0, False),
    ],
)
def test_alive_is_what_answers_or_will_soon(
    health: Health, age_s: float | None, away_s: float, is_alive: bool
) -> None:
    assert PATIENCE.is_alive(health, EngineState(last_token_age_s=age_s), away_s) is is_alive


def test_the_manager_hears_of_life_only_while_there_is_any(manager: Manager) -> None:
    engine = FakeEngine()
    now = [0.0]
    watchdog = Watchdog(
        notifier(manager), PATIENCE, lambda: (engine.health, engine.state), clock=lambda: now[0]
    )
    assert watchdog.beat()
    assert manager.heard() == ["WATCHDOG=1"]
    engine.state = EngineState(running=1, last_token_age_s=10.5)
    assert not watchdog.beat()
    assert manager.is_silent()


def test_how_long_the_worker_is_away_counts_from_when_it_was_last_ready(manager: Manager) -> None:
    engine = FakeEngine()
    now = [0.0]
    watchdog = Watchdog(
        notifier(manager), PATIENCE, lambda: (engine.health, engine.state), clock=lambda: now[0]
    )
    now[0] = 100.0
    assert watchdog.beat()
    engine.health = Health("restarting", "it went away")
    now[0] = 129.0
    assert watchdog.beat()
    now[0] = 131.0
    assert not watchdog.beat()
    engine.health = Health("ready")
    assert watchdog.beat()


def test_the_status_follows_the_engine_and_is_said_once(manager: Manager) -> None:
    async def run() -> None:
        engine = FakeEngine()
        bulletin = Bulletin(engine, notifier(manager), 10, lambda line: None)
        bulletin.ready()
        assert manager.heard() == ["READY=1", "STATUS=ready: 0 answered, 0 waiting"]
        engine.health = Health("restarting", "it went away")
        telling = asyncio.ensure_future(bulletin.run())
        assert await asyncio.to_thread(manager.heard) == ["STATUS=restarting: it went away"]
        telling.cancel()
        await asyncio.wait([telling])
        assert manager.is_silent()

    asyncio.run(run())


def test_the_watchdog_is_fed_more_than_once_a_period(manager: Manager) -> None:
    async def run() -> None:
        bulletin = Bulletin(FakeEngine(), notifier(manager, WATCHDOG_USEC="200000"), 10, lambda line: None)
        bulletin.ready()
        manager.heard()
        telling = asyncio.ensure_future(bulletin.run())
        began = time.monotonic()
        for _ in range(4):
            assert await asyncio.to_thread(manager.heard) == ["WATCHDOG=1"]
        assert time.monotonic() - began >= 0.25  # not more often than it needs to be
        telling.cancel()
        await asyncio.wait([telling])

    asyncio.run(run())


def test_a_manager_that_went_away_is_told_of_once_and_nothing_ends(tmp_path: Path) -> None:
    notes: list[str] = []
    bulletin = Bulletin(FakeEngine(), Notifier(str(tmp_path / "gone")), 10, notes.append)
    bulletin.ready()
    bulletin.stopping()
    assert len(notes) == 1
    assert "EVL-SERVE-NOTIFY" in notes[0]
