"""The worker as a process of its own, kept by the real keeper."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from edge_runtime.assistant import Assistant
from edge_runtime.backends.ort import OrtBackend
from edge_runtime.bundle import Bundle
from edge_runtime.child import child_environment
from edge_runtime.errors import EdgeVLError
from edge_runtime.request import Request
from edge_runtime.server.asked import Asked, AskedTurn, Prompt
from edge_runtime.server.keeper import OWN_WORKER, Keeper, KeeperRules, keeper_with
from edge_runtime.server.orders import Orders
from edge_runtime.server.said import Done, Event, Piece
from edge_runtime.server.wire import Message, packed, received_here
from tests.edge_runtime.server.test_keeper import until

HELLO = Prompt((AskedTurn("user", "what is it?"),))


@asynccontextmanager
async def kept(bundle: Path, rules: KeeperRules = KeeperRules()) -> AsyncIterator[Keeper]:
    keeper = Keeper(Orders(str(bundle), is_trusted=True, slots=2), rules)
    await keeper.start()
    try:
        await asyncio.wait_for(keeper.opened(), 60)
        yield keeper
    finally:
        await keeper.close()


async def events_of(keeper: Keeper, asked: Asked) -> list[Event]:
    async with keeper.ask(asked) as events:
        return [event async for event in events]


def test_what_it_answers_is_what_an_assistant_answers(bundle: Bundle) -> None:
    with Assistant(bundle, OrtBackend(bundle)) as alone:
        expected = alone.ask("what is it?", request=Request(max_tokens=8)).text

    async def test() -> None:
        async with kept(bundle.folder) as keeper:
            events = await events_of(keeper, Asked(HELLO, max_tokens=8))
            assert "".join(event.text for event in events if isinstance(event, Piece)) == expected
            ids = await keeper.ids_of(HELLO)
            assert isinstance(events[-1], Done)
            assert len(ids) == events[-1].prompt_tokens
            assert await keeper.text_of(await keeper.ids_of(Prompt(raw="hello"))) != ""

    asyncio.run(test())


def test_its_facts_are_those_of_the_bundle(bundle: Bundle) -> None:
    async def test() -> None:
        async with kept(bundle.folder) as keeper:
            facts = keeper.facts
            assert facts is not None
            assert (facts.engine, facts.slots, facts.model) == ("onnxruntime", 2, bundle.folder.name)
            assert facts.max_context == bundle.manifest.max_context
            assert str(bundle.folder) not in repr(facts)

    asyncio.run(test())


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_lost_in_the_middle_of_an_answer_it_is_there_again(bundle: Bundle, number: signal.Signals) -> None:
    async def test() -> None:
        async with kept(bundle.folder, KeeperRules(silence_s=1.5, look_s=0.1)) as keeper:
            pid = keeper.worker_pid
            assert pid is not None
            asked = Asked(HELLO, max_tokens=100, has_end=False)
            waiting = [asyncio.create_task(events_of(keeper, asked)) for _ in range(20)]
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            os.kill(pid, number)
            told = await asyncio.gather(*waiting, return_exceptions=True)
            codes = {each.code for each in told if isinstance(each, EdgeVLError)}
            assert codes == {"EVL-ENGINE-RESTARTING"}
            await until(lambda: keeper.health.condition == "ready", 60)
            assert isinstance((await events_of(keeper, Asked(HELLO, max_tokens=2)))[-1], Done)
            assert keeper.worker_pid != pid

    asyncio.run(test())


def test_signals_that_go_to_the_whole_group_are_not_for_it(bundle: Bundle) -> None:
    async def test() -> None:
        async with kept(bundle.folder) as keeper:
            pid = keeper.worker_pid
            assert pid is not None
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                os.kill(pid, number)
            await events_of(keeper, Asked(HELLO, max_tokens=2))
            assert (keeper.worker_pid, keeper.health.restarts) == (pid, 0)

    asyncio.run(test())


def test_a_bundle_that_is_none_is_told_as_everywhere(tmp_path: Path) -> None:
    async def test() -> None:
        keeper = Keeper(Orders(str(tmp_path)))
        await keeper.start()
        try:
            with pytest.raises(EdgeVLError, match="EVL-BUNDLE"):
                await asyncio.wait_for(keeper.opened(), 60)
        finally:
            await keeper.close()

    asyncio.run(test())


def test_no_file_of_the_working_folder_is_taken_for_a_module(
    tmp_path: Path, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("random", "PIL", "numpy", "edge_runtime"):
        (tmp_path / f"{name}.py").write_text("open('ran', 'w')")
    monkeypatch.chdir(tmp_path)

    async def test(python: Path | None) -> None:
        keeper = keeper_with(python, Orders(str(bundle.folder), is_trusted=True), KeeperRules(), print)
        await keeper.start()
        try:
            await asyncio.wait_for(keeper.opened(), 60)
        finally:
            await keeper.close()

    for python in (None, Path(sys.executable)):
        asyncio.run(test(python))
    assert not (tmp_path / "ran").exists()


def test_without_a_front_end_it_ends_at_once() -> None:
    command = OWN_WORKER
    ours, its = socket.socketpair()
    with ours:
        process = subprocess.Popen(command, stdin=its.fileno(), env=child_environment())
        its.close()
    assert process.wait(60) == 0


def ready_worker(bundle: Path, link: socket.socket) -> None:
    """Waits until the worker behind the socket has opened it."""
    for part in packed(Message("orders", Orders(str(bundle), is_trusted=True, slots=2).body())):
        link.sendall(part)
    while (message := received_here(link)) is not None and message.kind != "ready":
        pass
    assert message is not None


def test_what_it_does_not_understand_ends_it_instead_of_making_it_deaf(bundle: Bundle) -> None:
    command = OWN_WORKER
    ours, its = socket.socketpair()
    with ours:
        process = subprocess.Popen(
            command, stdin=its.fileno(), env=child_environment(), stderr=subprocess.DEVNULL
        )
        its.close()
        try:
            ready_worker(bundle.folder, ours)
            ours.sendall(b"\xff" * 4)
            assert process.wait(20) == 1
        finally:
            process.kill()
            process.wait()


# Starts a worker that it tells nothing, says its process number, and waits.
PARENT = """
import socket, subprocess, sys
ours, its = socket.socketpair()
worker = subprocess.Popen([sys.executable, "-m", "edge_runtime.server.worker"], stdin=its.fileno(), stderr=subprocess.PIPE)
its.close()
print(worker.pid, flush=True)
input()
"""


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def has_its_link(pid: int) -> bool:
    """What a worker does after it has said that it ends with its parent."""
    return Path(f"/proc/{pid}/fd/0").readlink() == Path(os.devnull)


def test_a_worker_that_cannot_hear_of_it_ends_with_the_front_end_all_the_same() -> None:
    async def test() -> None:
        command = (sys.executable, "-c", PARENT)
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=child_environment()
        ) as parent:
            assert parent.stdout is not None
            pid = int(parent.stdout.readline())
            try:
                await until(lambda: has_its_link(pid), 60)
                os.kill(pid, signal.SIGSTOP)
                parent.kill()
                await until(lambda: not is_alive(pid))
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    asyncio.run(test())
