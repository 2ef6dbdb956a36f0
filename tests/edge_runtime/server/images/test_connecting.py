"""Whom is connected to for a picture, and whom not; and what stays open after it."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import threading
from collections.abc import Sequence
from dataclasses import replace

import pytest

from edge_runtime.errors import EdgeVLError
from edge_runtime.server.images.address import is_public_address
from edge_runtime.server.images.remote import Network, checked_hosts
from tests.edge_runtime.server.images.far_host import (
    BODY,
    HOST,
    URL,
    Certificate,
    FarHost,
    answer,
    fetched,
    network_to,
    pictures,
    refusal,
)


class Counted:
    """A listener that nobody should come to."""

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.socket.setblocking(False)
        self.port = int(self.socket.getsockname()[1])

    def came(self) -> bool:
        try:
            self.socket.accept()[0].close()
        except BlockingIOError:
            return False
        return True

    def __enter__(self) -> Counted:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()


def test_the_listener_of_these_tests_counts() -> None:
    with Counted() as listener:
        assert not listener.came()
        socket.create_connection(("127.0.0.1", listener.port)).close()
        assert listener.came()


def refused_at(network: Network, url: str = URL, host: str = HOST) -> EdgeVLError:
    with pytest.raises(EdgeVLError) as caught:
        asyncio.run(pictures(network, host).file(url))
    return caught.value


@pytest.mark.parametrize(
    "found", [["127.0.0.1"], ["8.8.8.8", "127.0.0.1"], ["::ffff:127.0.0.1"], ["64:ff9b::7f00:1"], []]
)
def test_a_name_that_leads_home_is_not_connected_to(found: list[str]) -> None:
    with Counted() as listener:
        network = Network(lambda _: found, is_public_address, listener.port)
        assert refused_at(network).code == "EVL-IMAGE-FETCH"
        assert not listener.came()


def test_the_name_is_looked_up_once_so_that_it_cannot_change_in_between(certificate: Certificate) -> None:
    looked_up: list[str] = []

    async def run() -> bytes:
        far = FarHost([answer(BODY)])

        def resolve(host: str) -> Sequence[str]:
            looked_up.append(host)
            return ["127.0.0.1"] if len(looked_up) == 1 else ["10.0.0.1"]

        async with far.open(certificate):
            network = replace(network_to(far.port, certificate), resolve=resolve)
            return await pictures(network).file(URL)

    assert asyncio.run(run()) == BODY
    assert looked_up == [HOST]


@pytest.mark.parametrize("host", ["evil.example", "pictures.example.evil.example", "a.pictures.example"])
def test_a_host_that_was_not_named_is_not_even_looked_up(certificate: Certificate, host: str) -> None:
    looked_up: list[str] = []

    def resolve(host: str) -> Sequence[str]:
        looked_up.append(host)
        return []

    network = replace(network_to(1, certificate), resolve=resolve)
    error = refused_at(network, f"https://{host}/a.png")
    assert error.code == "EVL-IMAGE-REMOTE"
    assert host not in str(error)
    assert not looked_up


def test_a_host_that_cannot_prove_its_name_is_not_asked(certificate: Certificate) -> None:
    async def run() -> FarHost:
        far = FarHost([answer(BODY)])
        async with far.open(certificate):
            for network, host in (
                (network_to(far.port, certificate), "other.example"),  # proves another name
                (replace(network_to(far.port, certificate), trust=ssl.create_default_context()), HOST),
            ):
                with pytest.raises(EdgeVLError) as caught:
                    await pictures(network, host).file(f"https://{host}/a.png")
                assert caught.value.code == "EVL-IMAGE-FETCH"
        return far

    assert asyncio.run(run()).asked == []


def test_a_host_without_tls_is_not_asked(certificate: Certificate) -> None:
    async def run() -> FarHost:
        far = FarHost([answer(BODY)])
        async with far.open(None):
            with pytest.raises(EdgeVLError):
                await pictures(network_to(far.port, certificate), deadline_s=1.0).file(URL)
        return far

    far = asyncio.run(run())
    assert (far.came, far.asked) == (1, [])


def test_all_reasons_for_having_no_answer_read_alike(certificate: Certificate) -> None:
    with Counted() as listener:
        port = listener.port
    silent = Network(lambda _: ["127.0.0.1"], is_public_address, port)
    texts = {
        str(refused_at(silent)),
        str(refused_at(network_to(port, certificate))),  # nobody listens there any more
        str(refusal(FarHost([b""]), certificate)),
        str(refusal(FarHost([], stays=True), certificate, deadline_s=0.3)),
    }
    assert len(texts) == 1


def test_proxies_of_the_environment_are_not_used(
    certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Counted() as listener:
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{listener.port}")
            monkeypatch.setenv(name.upper(), f"http://127.0.0.1:{listener.port}")
        assert fetched(FarHost([answer(BODY)]), certificate) == BODY
        assert not listener.came()


def test_a_name_server_that_is_silent_is_given_up_at_the_deadline(certificate: Certificate) -> None:
    gate = threading.Event()

    def silent(_: str) -> Sequence[str]:
        gate.wait()
        return []

    async def run() -> None:
        with pytest.raises(EdgeVLError):
            await pictures(replace(network_to(1, certificate), resolve=silent), deadline_s=0.2).file(URL)

    try:
        asyncio.run(run())
    finally:
        gate.set()


def test_whoever_asked_can_go_away_and_the_connection_goes_too(certificate: Certificate) -> None:
    async def run() -> None:
        far = FarHost([answer(BODY)[:30]], stays=True)
        async with far.open(certificate):
            asking = asyncio.ensure_future(pictures(network_to(far.port, certificate)).file(URL))
            while not far.asked:
                await asyncio.sleep(0)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking

    asyncio.run(run())


@pytest.mark.parametrize(
    "host",
    ["Pictures.example", "*.example", "127.0.0.1", "https://a.example", "a.example:443", "localhost", ""],
)
def test_only_full_names_can_be_allowed(host: str) -> None:
    with pytest.raises(EdgeVLError, match="--allow-remote-images") as caught:
        checked_hosts(frozenset({HOST, host}))
    assert caught.value.code == "EVL-IMAGE-HOSTS"


def test_nothing_stays_open_after_many_fetches_of_every_outcome(certificate: Certificate) -> None:
    def count() -> tuple[int, int]:
        return len(os.listdir("/proc/self/fd")), threading.active_count()

    async def run() -> tuple[tuple[int, int], tuple[int, int]]:
        far = FarHost([answer(BODY)])
        outcomes = [answer(BODY), answer(BODY, status="404 No"), answer(BODY)[:40], b"junk\r\n\r\n"]
        async with far.open(certificate):
            remote = pictures(network_to(far.port, certificate))
            await remote.file(URL)
            before = count()
            for said in outcomes * 10:
                far.parts = [said]
                await asyncio.gather(*[remote.file(URL) for _ in range(3)], return_exceptions=True)
            return before, count()

    before, after = asyncio.run(run())
    assert after[0] - before[0] < 20  # of 120 connections, those that are just being closed
    assert after[1] - before[1] < 4
