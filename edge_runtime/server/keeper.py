"""Keeps a worker alive: starts it, hears its pulse, ends it where it hangs, and starts it again."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from edge_runtime.child import child_environment
from edge_runtime.errors import EdgeVLError, MachineFault
from edge_runtime.server.asked import Asked, Prompt
from edge_runtime.server.engine import EngineFacts, EngineState, Health
from edge_runtime.server.life import Life, numbers_of, restarting_error, stopping_error
from edge_runtime.server.orders import Orders
from edge_runtime.server.said import Event

SAFE_ENGINE = "onnxruntime"
NOTHING_ASKED = EngineState()
WORKER = "edge_runtime.server.worker"
NO_PYTHON = (errno.ENOENT, errno.EACCES, errno.ENOTDIR, errno.ENOEXEC)  # that could be run
ROOT = str(Path(__file__).absolute().parents[2])
# A Python that is told what to do looks for modules in its working folder first, be it a bundle with a `random.py`.
NOT_HERE = "import sys; sys.path[:] = [place for place in sys.path if place]"
MAIN = f"from {WORKER}.__main__ import main; sys.exit(main())"
OWN_WORKER = (sys.executable, "-c", f"{NOT_HERE}; {MAIN}")
# For another Python. Its own numpy and TensorRT come first: those that lie beside our modules are made for ours.
BOOT = f"{NOT_HERE}; sys.path.append({ROOT!r}); {MAIN}"


@dataclass(frozen=True)
class KeeperRules:
    """A worker that says nothing for `silence_s`, or works for `hang_s` without a token or a piece of a prompt, is ended.
    Until it is ready `opening_s` counts: some libraries hold the whole process up while they read gigabytes.
    One that served nobody and lived less than `settled_s` counts as a crash: after `crashes` of them in a row an engine
    that nobody asked for by name is given up for ONNX Runtime on the CPU. One that was never ready is started again more
    and more slowly; one that was, without much ado."""

    silence_s: float = 15.0
    opening_s: float = 600.0
    hang_s: float = 120.0
    settled_s: float = 5.0
    crashes: int = 3
    pause_s: float = 0.25  # before the third start in a row; doubles from there
    longest_pause_s: float = 30.0
    longest_pause_of_ready_s: float = 1.0
    look_s: float = 0.5

    def pause(self, crashes: int, was_ready: bool = False) -> float:
        """After so many crashes in a row: the first ones cost nobody any time."""
        longest = self.longest_pause_of_ready_s if was_ready else self.longest_pause_s
        return 0.0 if crashes < 2 else min(longest, self.pause_s * 2.0 ** min(crashes - 2, 16))


class Keeper:
    """The Engine of the front end. `note` is told what happens to the worker, a line each."""

    def __init__(
        self,
        orders: Orders,
        rules: KeeperRules = KeeperRules(),
        note: Callable[[str], None] = lambda line: None,  # noqa: ARG005  (nobody listens)
        command: Sequence[str] = OWN_WORKER,
        environment: Callable[[], Mapping[str, str]] = child_environment,
    ) -> None:
        self._orders = orders
        self._rules = rules
        self._note = note
        self._command, self._environment = command, environment
        self._life: Life | None = None
        self._task: asyncio.Task[None] | None = None
        self._first: asyncio.Future[None] | None = None
        self._facts: EngineFacts | None = None
        self._why = "the engine is being opened"
        self._crashes = 0  # in a row
        self._unopened = 0  # lives in a row that were never ready
        self._restarts = 0
        self._degraded: tuple[str, ...] = ()
        self._closed = asyncio.Event()

    @property
    def facts(self) -> EngineFacts | None:
        return self._facts

    @property
    def state(self) -> EngineState:
        return self._life.state if self._life is not None and self._life.is_ready else NOTHING_ASKED

    @property
    def health(self) -> Health:
        if self._life is not None and self._life.is_ready and not self._closed.is_set():
            return Health("ready", "", self._restarts, self._degraded)
        is_failing = self._unopened >= self._rules.crashes
        condition = "failed" if is_failing else "starting" if self._facts is None else "restarting"
        return Health(condition, self._why, self._restarts, self._degraded)  # type: ignore[arg-type]

    @property
    def worker_pid(self) -> int | None:
        """Of the one that answers."""
        return self._life.process.pid if self._life is not None and self._life.is_ready else None

    async def start(self) -> None:
        """The worker begins; see `opened`."""
        self._first = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._keep(), name="keeper")

    async def opened(self) -> None:
        """Returns when questions are answered for the first time; raises what keeps the bundle from being opened."""
        assert self._first is not None, "it is started first"
        await asyncio.shield(self._first)

    async def close(self) -> None:
        """The worker ends; questions left are told so."""
        self._why = "the server is stopping"
        self._closed.set()
        if self._life is not None:
            self._life.close(stopping_error)
        # Not cancelled: a process that is being started could be lost sight of.
        if self._task is not None:
            await asyncio.wait([self._task])

    def ask(self, asked: Asked) -> AbstractAsyncContextManager[AsyncIterator[Event]]:
        return self._ready().ask(asked)

    async def ids_of(self, prompt: Prompt) -> Sequence[int]:
        return numbers_of(await self._ready().reply("ids", prompt=asdict(prompt)))

    async def text_of(self, ids: Sequence[int]) -> str:
        return str(await self._ready().reply("text", ids=list(ids)))

    def _ready(self) -> Life:
        if self._closed.is_set():
            raise stopping_error()
        if self._life is None or not self._life.is_ready:
            raise restarting_error()
        return self._life

    async def _keep(self) -> None:
        """One life after another."""
        while not self._closed.is_set():
            try:
                life = await Life.begun(self._command, self._environment(), self._orders, self._hear)
            except OSError as fault:
                was_ready = False
                self._bury("", unstartable(fault, self._command == OWN_WORKER))
            else:
                ended, was_ready = await self._live(life), life.facts is not None
                self._bury(ended, life.failed, was_ready, is_settled=self._is_settled(life))
            self._restarts += 1
            await self._pause(self._rules.pause(self._crashes, was_ready))

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._closed.wait(), seconds)

    async def _live(self, life: Life) -> str:
        self._life, self._begun_at = life, asyncio.get_running_loop().time()
        if self._closed.is_set():
            life.close(stopping_error)
        watch = asyncio.create_task(self._watch(life), name="watch")
        try:
            return await life.lived()
        finally:
            watch.cancel()
            await asyncio.wait([watch])
            self._life = None

    def _is_settled(self, life: Life) -> bool:
        lived = asyncio.get_running_loop().time() - self._begun_at
        return life.facts is not None and (life.has_served or lived >= self._rules.settled_s)

    def _bury(
        self, ended: str, failed: EdgeVLError | None, was_ready: bool = False, is_settled: bool = False
    ) -> None:
        """Learns from how a life ended."""
        if self._closed.is_set():
            return
        self._crashes = 0 if is_settled else self._crashes + 1
        self._unopened = 0 if was_ready else self._unopened + 1
        if failed is not None:
            self._why = f"the engine cannot be opened ({failed.code})"
            if self._first is None or self._first.done():  # else whoever waits for the first is told
                self._note(f"the engine cannot be opened: {failed}")
        else:
            self._why = "the engine is being started again"
            self._note(f"the engine is gone: {ended}")
        engine = None if self._facts is None else self._facts.engine
        if self._crashes == self._rules.crashes and self._orders.engine == "auto" and engine != SAFE_ENGINE:
            self._give_way(engine)
        else:
            self._tell_first(failed)

    def _give_way(self, engine: str | None) -> None:
        """The safe engine has tries of its own: whoever waits for the first one waits on."""
        self._orders = replace(self._orders, engine=SAFE_ENGINE)
        self._degraded = (
            f"{engine or 'the fastest engine'} was given up: it went away {self._crashes} times",
        )
        self._note(f"{self._degraded[0]}; {SAFE_ENGINE} takes its place")
        self._crashes = self._unopened = 0

    def _hear(self) -> None:
        life = self._life
        if life is not None and life.facts is not None and life.facts is not self._facts:
            self._facts = life.facts
            self._note(f"the engine is ready: {life.facts.engine}")
            self._tell_first(None, is_ready=True)

    def _tell_first(self, failed: EdgeVLError | None, is_ready: bool = False) -> None:
        assert self._first is not None, "it was started"
        if self._first.done():
            return
        if is_ready:
            self._first.set_result(None)
        elif failed is not None:
            self._first.set_exception(failed)
        elif self._crashes >= self._rules.crashes:
            self._first.set_exception(lost_error(self._why))

    async def _watch(self, life: Life) -> None:
        """Ends a worker that is silent or hangs. A look that comes late says nothing: then it was we who were held up."""
        clock = asyncio.get_running_loop().time
        while True:
            due = clock() + self._rules.look_s
            await asyncio.sleep(self._rules.look_s)
            if clock() - due > self._rules.look_s:
                continue
            silent, age = clock() - life.heard_at, life.state.last_token_age_s or 0.0
            most = self._rules.silence_s if life.is_ready else self._rules.opening_s
            if silent > most or age > self._rules.hang_s:
                self._note(
                    "the engine says nothing any more" if age <= self._rules.hang_s else "the engine hangs"
                )
                life.kill()
                life.close(restarting_error)  # whatever keeps the process from ending, nobody waits for that
                return


def keeper_with(
    python: Path | None, orders: Orders, rules: KeeperRules, note: Callable[[str], None]
) -> Keeper:
    """Of a worker in that Python. Where it is another one, it gets our environment as it is, and our modules last."""
    if python is None:
        return Keeper(orders, rules, note)
    return Keeper(orders, rules, note, (str(python.absolute()), "-c", BOOT), os.environ.copy)


def unstartable(fault: OSError, is_ours: bool) -> EdgeVLError:
    what, why = "the engine's process cannot be started", fault.strerror or type(fault).__name__
    if not is_ours and fault.errno in NO_PYTHON:
        fix = "give --worker-python the path of a Python that runs here"
        return EdgeVLError("EVL-WORKER-PYTHON", what, why, fix)
    return MachineFault("EVL-ENGINE-PROCESS", what, why, "free memory")


def lost_error(why: str) -> MachineFault:
    fix = "see the log above; run `edge-vl verify` on the bundle"
    return MachineFault("EVL-ENGINE-LOST", "the engine does not stay up", why, fix)
