"""A server of our own to measure: `edge-vl serve` in a process, at a free port of this machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

from edge_runtime.errors import MachineFault
from edge_runtime.memory import children_of, memory_of_tree

ENDING_S = 30.0


@dataclass(frozen=True)
class Server:
    """`pid` is the front end's."""

    host: str
    port: int
    pid: int
    model: str

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def worker_pid(self) -> int | None:
        return next(iter(children_of(self.pid, Path("/proc"))), None)

    @property
    def held_mib(self) -> float:
        """Of both processes."""
        return memory_of_tree(self.pid).held_mib

    @property
    def spent_s(self) -> dict[str, float]:
        """Processor time of each process, and of whoever asks."""
        pids = {"front": self.pid, "engine": self.worker_pid or self.pid, "clients": os.getpid()}
        return {name: processor_s(pid) for name, pid in pids.items()}

    @property
    def descriptors(self) -> int:
        pids = [self.pid, *children_of(self.pid, Path("/proc"))]
        return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in pids)


def processor_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def served(bundle: Path, flags: Sequence[str] = ()) -> Iterator[Server]:
    """Ready when this begins, and ended as a service is when it is left."""
    command = [sys.executable, "-m", "edge_vl", "serve", str(bundle), "--port", "0", "--json", *flags]
    with TemporaryFile() as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        assert process.stdout is not None
        try:
            yield server_of(process.stdout.readline(), process.pid, log.fileno())
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(ENDING_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdout.close()


def server_of(line: str, pid: int, log: int) -> Server:
    if not line:
        os.lseek(log, 0, os.SEEK_SET)
        words = os.read(log, 4000).decode(errors="replace").strip().splitlines()
        what, why = "the server did not begin", words[-1] if words else "it said nothing"
        raise MachineFault("EVL-STAND", what, why, "start it by hand and look")
    told = json.loads(line)
    host, _, port = told["url"].removeprefix("http://").rstrip("/").rpartition(":")
    return Server(host, int(port), pid, told["model"])
