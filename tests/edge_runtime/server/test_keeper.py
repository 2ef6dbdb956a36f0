"""A worker that is kept alive."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from edge_runtime.errors import EdgeVLError
from edge_runtime.server import keeper as keeping
from edge_runtime.server.asked import Asked, AskedTurn, Prompt
from edge_runtime.server.keeper import Keeper, KeeperRules, keeper_with
from edge_runtime.server.orders import Orders
from edge_runtime.server.said import Done, Piece

WORKER = Path(__file__).with_name("fake_worker.py")
HELLO = Asked(Prompt((AskedTurn("user", "Hello", 1),)), (b"file",))
QUICK = KeeperRules(silence_s=1.0, hang_s=0.3, settled_s=60.0, pause_s=0.01, look_s=0.05)


@asynccontextmanager
async def kept(
    habit: str,
    rules: KeeperRules = QUICK,
    engine: str = "auto",
    note: Callable[[str], None] = lambda line: None,
) -> AsyncIterator[Keeper]:
    keeper = Keeper(Orders("bundle", engine), rules, note, command=(sys.executable, str(WORKER), habit))
    await keeper.start()
    try:
        yield keeper
    finally:
        await keeper.close()


async def answer(keeper: Keeper, asked: Asked = HELLO) -> list[object]:
    async with keeper.ask(asked) as events:
        return [event async for event in events]


async def until(is_so: Callable[[], bool], limit_s: float = 20.0) -> None:
    async def look() -> None:
        while not is_so():
            await asyncio.sleep(0.005)

    await asyncio.wait_for(look(), limit_s)


def tried(test: Callable[[], Awaitable[None]]) -> None:
    async def whole() -> None:
        await test()

    asyncio.run(whole())


def test_a_question_and_its_picture_reach_the_worker_and_the_answer_comes_back() -> None:
    async def test() -> None:
        async with kept("answers") as keeper:
            await keeper.opened()
            piece, done = await answer(keeper)
            assert piece == Piece("Hello 1")
            assert isinstance(done, Done)
            assert list(await keeper.ids_of(HELLO.prompt)) == [1, 2, 3]

    tried(test)


def test_it_is_not_ready_before_the_worker_is() -> None:
    async def test() -> None:
        async with kept("answers") as keeper:
            assert (keeper.facts, keeper.health.condition) == (None, "starting")
            with pytest.raises(EdgeVLError, match="EVL-ENGINE-RESTARTING"):
                await answer(keeper)
            await keeper.opened()
            assert keeper.health.condition == "ready"

    tried(test)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGSTOP])
def test_a_worker_that_is_lost_is_replaced_and_its_askers_are_told(number: signal.Signals) -> None:
    async def test() -> None:
        async with kept("hangs", KeeperRules(silence_s=0.5, look_s=0.05)) as keeper:
            await keeper.opened()
            before = keeper.worker_pid
            assert before is not None
            waiting = asyncio.create_task(answer(keeper))
            await until(lambda: keeper.state.running == 1)
            os.kill(before, number)
            with pytest.raises(EdgeVLError, match="EVL-ENGINE-RESTARTING"):
                await asyncio.wait_for(waiting, 20)
            await until(lambda: keeper.health.condition == "ready")
            assert keeper.worker_pid != before
            assert keeper.health.restarts == 1

    tried(test)


def test_a_worker_that_works_without_getting_on_is_ended() -> None:
    async def test() -> None:
        async with kept("hangs") as keeper:
            await keeper.opened()
            with pytest.raises(EdgeVLError, match="EVL-ENGINE-RESTARTING"):
                await asyncio.wait_for(answer(keeper), 20)

    tried(test)


def test_a_worker_that_says_nothing_is_ended() -> None:
    async def test() -> None:
        async with kept("silent") as keeper:
            await keeper.opened()
            before = keeper.worker_pid
            await until(lambda: keeper.worker_pid not in (None, before))

    tried(test)


def test_a_worker_that_says_what_no_worker_says_is_replaced() -> None:
    async def test() -> None:
        notes = list[str]()
        async with kept("garbles", note=notes.append) as keeper:
            await keeper.opened()
            pid = keeper.worker_pid
            with pytest.raises(EdgeVLError, match="EVL-ENGINE-RESTARTING"):
                await answer(keeper)
            await until(lambda: keeper.worker_pid not in (None, pid))
            assert (
                "the engine is gone: 'piece' came as no worker of this version says it (KeyError: 'text')"
                in notes
            )

    tried(test)


@pytest.mark.parametrize(("habit", "cause"), [("other", "'colour'"), ("odd", "last_token_age_s")])
def test_a_worker_of_another_version_is_not_waited_for(habit: str, cause: str) -> None:
    async def test() -> None:
        notes = list[str]()
        async with kept(habit, note=notes.append) as keeper:
            if habit == "other":
                with pytest.raises(EdgeVLError, match="EVL-ENGINE-LOST"):
                    await asyncio.wait_for(keeper.opened(), 60)
            await until(lambda: sum(cause in note for note in notes) > 2)

    tried(test)


def test_an_end_that_cannot_be_read_is_no_service() -> None:
    async def test() -> None:
        async with kept("unended", engine="tensorrt") as keeper:
            for _ in range(3):
                await until(lambda: keeper.health.condition == "ready")
                with pytest.raises(EdgeVLError, match="EVL-ENGINE-RESTARTING"):
                    await answer(keeper)
                await until(lambda: keeper.health.condition != "ready")
            await until(lambda: keeper._crashes == 3)

    tried(test)


def test_a_question_that_is_left_is_cancelled() -> None:
    async def test() -> None:
        async with kept("hangs", KeeperRules()) as keeper:
            await keeper.opened()
            waiting = asyncio.create_task(answer(keeper))
            await until(lambda: keeper.state.running == 1)
            waiting.cancel()
            await until(lambda: keeper.state.running == 0)
            with contextlib.suppress(asyncio.CancelledError):
                await waiting

    tried(test)


def test_a_bundle_that_does_not_open_is_told_in_its_own_words() -> None:
    async def test() -> None:
        async with kept("unopened") as keeper:
            with pytest.raises(EdgeVLError, match="EVL-BUNDLE-FILES"):
                await keeper.opened()
            assert "EVL-BUNDLE-FILES" in keeper.health.why

    tried(test)


def test_an_engine_that_crashes_at_every_start_gives_way_to_the_safe_one() -> None:
    async def test() -> None:
        async with kept("crashes") as keeper:
            await keeper.opened()
            assert keeper.facts is not None
            assert keeper.facts.engine == "onnxruntime"
            assert "given up" in keeper.health.degraded[0]

    tried(test)


def test_where_the_safe_engine_crashes_as_well_its_own_tries_are_counted() -> None:
    async def test() -> None:
        async with kept("lost") as keeper:
            with pytest.raises(EdgeVLError, match="EVL-ENGINE-LOST"):
                await asyncio.wait_for(keeper.opened(), 60)
            assert keeper.health.restarts == 2 * QUICK.crashes

    tried(test)


def test_an_engine_that_was_asked_for_by_name_is_not_replaced() -> None:
    async def test() -> None:
        async with kept("unopened", engine="tensorrt") as keeper:
            await until(lambda: keeper.health.condition == "failed")
            assert keeper.health.degraded == ()

    tried(test)


def test_crashes_in_a_row_are_started_again_more_and_more_slowly() -> None:
    pauses = [KeeperRules().pause(crashes) for crashes in range(12)]
    assert pauses[:5] == [0.0, 0.0, 0.25, 0.5, 1.0]
    assert max(pauses) == 30.0
    assert max(KeeperRules().pause(crashes, was_ready=True) for crashes in (1, 5, 5000)) == 1.0


def test_an_engine_that_dies_of_every_question_is_there_again_soon() -> None:
    async def test() -> None:
        async with kept("dies", engine="onnxruntime") as keeper:
            await keeper.opened()
            for _ in range(6):
                await until(lambda: keeper.health.condition == "ready", 5)
                with pytest.raises(EdgeVLError, match="EVL-ENGINE-RESTARTING"):
                    await answer(keeper)
                assert keeper.health.condition == "restarting"

    tried(test)


@pytest.mark.parametrize("name", ["nowhere", "folder", "plain", "plain/below"])
def test_another_python_that_cannot_be_run_is_the_mistake_of_who_named_it(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "plain").write_text("no program")

    async def main() -> None:
        keeper = keeper_with(tmp_path / name, Orders("bundle", "auto"), QUICK, lambda line: None)
        await keeper.start()
        try:
            with pytest.raises(EdgeVLError, match="EVL-WORKER-PYTHON") as refused:
                await keeper.opened()
            assert refused.value.exit_status == 2
        finally:
            await keeper.close()

    asyncio.run(main())


def test_where_our_own_python_cannot_be_run_it_is_the_machines_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "OWN_WORKER", ("/nowhere/python",))

    async def test() -> None:
        keeper = Keeper(Orders("bundle"), QUICK, command=("/nowhere/python",))
        await keeper.start()
        with pytest.raises(EdgeVLError, match="EVL-ENGINE-PROCESS"):
            await keeper.opened()
        await keeper.close()

    tried(test)


def test_closing_tells_those_who_wait_and_leaves_no_process() -> None:
    async def test() -> None:
        async with kept("hangs", KeeperRules()) as keeper:
            await keeper.opened()
            pid = keeper.worker_pid
            assert pid is not None
            waiting = asyncio.create_task(answer(keeper))
            await until(lambda: keeper.state.running == 1)
            await keeper.close()
            with pytest.raises(EdgeVLError, match="EVL-ENGINE-STOPPING"):
                await waiting
            with pytest.raises(ProcessLookupError):
                os.kill(pid, 0)

    tried(test)


def test_closing_does_not_wait_for_a_worker_that_does_not_read() -> None:
    async def test() -> None:
        async with kept("hangs", KeeperRules()) as keeper:
            await keeper.opened()
            pid = keeper.worker_pid
            assert pid is not None
            os.kill(pid, signal.SIGSTOP)
            large = replace(HELLO, pictures=(b"x" * 10_000_000,))
            waiting = asyncio.create_task(answer(keeper, large))
            await asyncio.sleep(0.1)  # more than the socket takes: it waits to be sent
            closing = asyncio.create_task(keeper.close())
            try:
                with pytest.raises(EdgeVLError, match="EVL-ENGINE-STOPPING"):
                    await asyncio.wait_for(waiting, 1)
                await asyncio.wait_for(closing, 10)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    tried(test)


def test_an_engine_that_says_nothing_while_it_is_opened_is_waited_for() -> None:
    async def test() -> None:
        async with kept("slow", KeeperRules(silence_s=0.2, look_s=0.05)) as keeper:
            await keeper.opened()
            assert keeper.health.restarts == 0

    tried(test)


def test_an_engine_that_says_nothing_for_too_long_while_it_is_opened_is_ended() -> None:
    async def test() -> None:
        async with kept("slow", KeeperRules(opening_s=0.2, look_s=0.05)) as keeper:
            await until(lambda: keeper.health.restarts > 0)

    tried(test)


@pytest.mark.parametrize("starter", ["", "setsid "], ids=["in its group", "out of reach"])
def test_a_worker_behind_a_script_that_hangs_is_given_up_with_the_script(starter: str) -> None:
    async def test() -> None:
        script = f"{starter}{sys.executable} {WORKER} hangs; exit $?"
        keeper = Keeper(Orders("bundle"), QUICK, command=("/bin/sh", "-c", script))
        await keeper.start()
        try:
            await keeper.opened()
            with pytest.raises(EdgeVLError, match="EVL-ENGINE-RESTARTING"):
                await asyncio.wait_for(answer(keeper), 20)
        finally:
            await keeper.close()

    tried(test)


def test_a_small_question_that_is_left_as_the_worker_is_lost_is_no_news() -> None:
    told: list[dict[str, object]] = []

    async def test() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
        async with kept("hangs", KeeperRules()) as keeper:
            await keeper.opened()
            pid = keeper.worker_pid
            assert pid is not None
            os.kill(pid, signal.SIGSTOP)
            left = asyncio.create_task(keeper.ids_of(Prompt(raw="x" * 10_000_000)))
            await asyncio.sleep(0.1)  # more than the socket takes: it waits to be sent
            os.kill(pid, signal.SIGKILL)
            with pytest.raises(EdgeVLError, match="EVL-ENGINE-RESTARTING"):
                await left
            del left
            gc.collect()
            await asyncio.sleep(0)

    tried(test)
    assert told == []
