"""Looking a host up, with name servers that lie, are silent, or know nothing."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest

from edge_runtime.server.images.address import is_public_address
from edge_runtime.server.images.lookup import MOST_LOOKUPS, Lookups, system_addresses


def addresses(found: Sequence[str]) -> Sequence[str]:
    return asyncio.run(Lookups(lambda _: found, is_public_address).addresses("pictures.example"))


def test_every_address_is_named_once() -> None:
    assert addresses(["8.8.8.8", "1.1.1.1", "8.8.8.8"]) == ["8.8.8.8", "1.1.1.1"]


@pytest.mark.parametrize("found", [["127.0.0.1"], ["8.8.8.8", "10.0.0.1"], ["8.8.8.8", "64:ff9b::7f00:1"]])
def test_one_address_that_is_not_public_spoils_all(found: list[str]) -> None:
    with pytest.raises(OSError, match="not public"):
        addresses(found)


def test_a_host_without_addresses_is_a_fault() -> None:
    with pytest.raises(OSError, match="no address"):
        addresses([])


def test_the_fault_of_the_name_server_reaches_whoever_asked() -> None:
    def fails(_: str) -> Sequence[str]:
        raise OSError("no such host")

    lookups = Lookups(fails, is_public_address)
    for _ in range(MOST_LOOKUPS + 1):  # and it keeps no place
        with pytest.raises(OSError, match="no such host"):
            asyncio.run(lookups.addresses("pictures.example"))


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "0x7f000001", "2130706433", "127.1", "::ffff:127.0.0.1", "localhost"]
)
def test_every_spelling_of_this_machine_is_caught_after_the_look_up_too(host: str) -> None:
    assert not any(map(is_public_address, system_addresses(host)))


def test_silent_name_servers_hold_a_few_threads_and_no_more() -> None:
    gate, started = threading.Event(), threading.Semaphore(0)

    def silent(_: str) -> Sequence[str]:
        started.release()
        gate.wait()
        return ["8.8.8.8"]

    async def run() -> Sequence[str]:
        lookups = Lookups(silent, is_public_address)
        waiting = [asyncio.ensure_future(lookups.addresses("a.example")) for _ in range(MOST_LOOKUPS)]
        await asyncio.sleep(0)
        with pytest.raises(OSError, match="too many"):
            await lookups.addresses("a.example")
        waiting[0].cancel()  # its thread goes on, and so keeps its place
        with pytest.raises(OSError, match="too many"):
            await lookups.addresses("a.example")
        gate.set()
        await asyncio.gather(*waiting[1:])
        return await lookups.addresses("a.example")

    assert asyncio.run(run()) == ["8.8.8.8"]
    assert all(started.acquire(blocking=False) for _ in range(MOST_LOOKUPS + 1))


def test_look_ups_that_cannot_begin_take_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_more(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    lookups = Lookups(lambda _: ["8.8.8.8"], is_public_address)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", no_more)
        for _ in range(MOST_LOOKUPS):
            with pytest.raises(OSError, match="begun"):
                asyncio.run(lookups.addresses("a.example"))
    assert asyncio.run(lookups.addresses("a.example")) == ["8.8.8.8"]
