"""The command in processes of its own that start at once: forks of one that has imported everything.

Whatever happens to such a process hits the work and not the seconds of importing torch before it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path(__file__).parents[2]
WAIT_S = 120.0
COMMAND = "tests.faults.forge:command"
# One thread each: a fork has no others, and the machine has few cores.
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
QUIET = {
    "PYTHONPATH": str(ROOT),
    "PYTHONWARNINGS": "error",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
}
Conditions = Mapping[str, Any]  # names of functions of tests.faults.conditions, and their argument


@dataclass(frozen=True)
class Ended:
    """How a process ended: `status` is negative for a signal, as in subprocess."""

    status: int
    out: str
    err: str
    seconds: float

    def code(self) -> str:
        """The code of the error that was told; all of stderr where none was."""
        lines = [line for line in self.err.splitlines() if line.startswith("what: ")]
        return lines[-1].rpartition("[")[2].rstrip("]") if lines else self.err

    def record(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out.splitlines()[-1])
        return found


class Forked:
    """A process under way."""

    def __init__(self, forge: Forge, pid: int, files: Path) -> None:
        self.pid = pid
        self._forge = forge
        self._files = files
        self._began = time.monotonic()

    def send(self, number: int) -> None:
        os.kill(self.pid, number)  # it is a zombie, not gone, until it is waited for

    def ended(self) -> Ended:
        status = self._forge.ask({"wait": self.pid})["status"]
        out, err = (
            self._files.with_suffix(suffix).read_text(errors="replace") for suffix in (".out", ".err")
        )
        return Ended(status, out, err, time.monotonic() - self._began)


class Forge:
    """Starts processes. Use it in a `with`; what it started and nobody waited for ends with it."""

    def __init__(self, folder: Path, checkpoint: Path) -> None:
        self.folder = folder
        self.bundle = folder / "tiny.bundle"  # of the checkpoint, made while the server warms up
        self._count = 0
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.forge", str(checkpoint), str(self.bundle)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **QUIET},
            cwd=folder,
        )

    def start(self, *arguments: str | Path, **conditions: Any) -> Forked:
        """`edge-vl` with these arguments, under these conditions."""
        return self.start_function(COMMAND, {"arguments": [str(each) for each in arguments]}, **conditions)

    def ran(self, *arguments: str | Path, **conditions: Any) -> Ended:
        return self.start(*arguments, **conditions).ended()

    def start_function(self, function: str, given: Mapping[str, Any], **conditions: Any) -> Forked:
        """`module:function`, which returns an exit status."""
        self._count += 1
        files = self.folder / str(self._count)
        request = {"function": function, "given": given, "conditions": conditions, "files": str(files)}
        return Forked(self, self.ask(request)["pid"], files)

    def await_ready(self) -> None:
        """Until the bundle is there."""
        assert self.ask({}) == {}

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(json.dumps(request).encode() + b"\n")
        self._server.stdin.flush()
        answer = self._server.stdout.readline()
        assert answer, "the forge is gone"
        found: dict[str, Any] = json.loads(answer)
        return found

    def __enter__(self) -> Forge:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._server:
            assert self._server.stdin is not None
            self._server.stdin.close()


# --- the server's side


def command(arguments: Sequence[str]) -> int:
    from edge_vl.cli import main

    try:
        main(arguments)
    except SystemExit as end:
        return int(end.code or 0)


def forked(request: Mapping[str, Any]) -> int:
    """Signals wait for the command, where it is to meet them: the forge's own first steps are not what is tested."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
    pid = os.fork()
    if pid == 0:
        status = 70  # of what does not even get to an end of its own
        try:
            os.setsid()
            adopt_streams(Path(request["files"]))
            if "default_signals" not in request["conditions"]:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
            status = called(request)
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(status)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return pid


def adopt_streams(files: Path) -> None:
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, suffix in ((1, ".out"), (2, ".err")):
        os.dup2(os.open(files.with_suffix(suffix), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), number)
    # New objects: the server has read from its own already.
    sys.stdin, sys.stdout, sys.stderr = (os.fdopen(number, mode) for number, mode in enumerate("rww"))


def called(request: Mapping[str, Any]) -> int:
    from tests.faults import conditions

    try:
        for name, argument in request["conditions"].items():
            getattr(conditions, name)(argument)
        module, name = request["function"].split(":")
        status: int = getattr(import_module(module), name)(**request["given"])
    except BaseException:
        sys.excepthook(*sys.exc_info())  # what the command let pass is a traceback, as for any process
        raise
    return status


def waited(pid: int) -> int:
    """The exit status; a process that hangs is killed, which its status says."""
    end = time.monotonic() + WAIT_S
    while time.monotonic() < end:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return -signal.SIGXCPU


def serve(checkpoint: Path, out: Path) -> None:
    """Requests come in as lines of JSON, and so do the answers go out."""
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)  # whatever else is printed is no answer
        warm_up(checkpoint, out)
        for line in sys.stdin:
            print(json.dumps(answered(json.loads(line))), file=answers, flush=True)


def answered(request: Mapping[str, Any]) -> dict[str, int]:
    if "wait" in request:
        return {"status": waited(request["wait"])}
    return {"pid": forked(request)} if "function" in request else {}


def warm_up(checkpoint: Path, out: Path) -> None:
    """Imports what an export and an answer import, much of it on the way. Leaves no thread behind."""
    from export.exporter import export_bundle
    from export.options import ExportOptions

    import_module("tqdm").tqdm.monitor_interval = 0  # torch's bars would start a thread that watches them
    for module in ("export.comparison", "edge_runtime.loading", "onnxruntime", "edge_vl.cli"):
        import_module(module)
    export_bundle(checkpoint, out, ExportOptions(precision="fp32"))
    assert threading.active_count() == 1, "a fork would take over locks and no thread that opens them"


if __name__ == "__main__":
    serve(Path(sys.argv[1]), Path(sys.argv[2]))
