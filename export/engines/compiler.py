"""Graphs to plans, one process per build: what the library leaks, prints or crashes on stays there."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_runtime.child import child_environment
from edge_runtime.errors import EdgeVLError
from edge_runtime.memory import MemoryUse, memory_of_tree
from edge_runtime.publish import staged_file
from edge_runtime.record import json_from_record, record_from_json
from export.engines.failures import error_from_death, limit_error
from export.engines.request import BuildReport, BuildRequest, Outcome, error_from_failure

SAMPLE_S = 0.02
CHILD = (sys.executable, "-m", "export.engines.child")

Tick = Callable[[float], None]  # called now and then with the seconds since the beginning


def unwatched(seconds: float) -> None:
    """For builds that nobody watches."""


@dataclass(frozen=True)
class Ending:
    """How a build's process ended, and the most memory that it was seen with."""

    status: int
    stdout: bytes
    stderr: str
    peak: MemoryUse
    is_over_limit: bool


def build_engine(
    request: BuildRequest,
    memory_limit_mib: int | None = None,
    command: Sequence[str] = CHILD,
    tick: Tick = unwatched,
) -> BuildReport:
    """The plan appears whole at `request.plan`, which must not exist, or an error says why it does not.

    EVL-BUILD-PARSE, -SHAPES and -FAILED are about the graph, EVL-ENGINE-* about the library, EVL-BUILD-MEMORY and
    EVL-BUILD-CRASH about the machine. Past `memory_limit_mib` of held memory the build is ended. An interrupt
    ends it too and leaves nothing behind.
    """
    graph = Path(request.onnx).absolute()
    if not graph.is_file():
        fix = "check the path, or export this role first"
        raise EdgeVLError(
            "EVL-BUILD-PARSE", f"{request.role}: {graph} cannot be read", "it is not a file", fix
        )
    timings = None if request.timings is None else str(Path(request.timings).absolute())
    with staged_file(Path(request.plan)) as made:
        asked = dataclasses.replace(request, onnx=str(graph), plan=str(made), timings=timings)
        ending = ending_of_child(asked, made.parent, command, memory_limit_mib, tick)
        report = report_from_ending(request.role, ending, memory_limit_mib, made)
    held_mib = max(report.peak_held_mib, ending.peak.held_mib)
    resident_mib = max(report.peak_resident_mib, ending.peak.resident_mib)
    return dataclasses.replace(
        report, plan=request.plan, peak_held_mib=held_mib, peak_resident_mib=resident_mib
    )


def report_from_ending(role: str, ending: Ending, limit_mib: int | None, made: Path) -> BuildReport:
    if ending.is_over_limit and limit_mib is not None:
        raise limit_error(role, limit_mib, ending.peak.held_mib)
    if ending.status != 0 or not ending.stdout:
        raise error_from_death(role, ending.status, ending.stderr, ending.peak.held_mib)
    outcome = record_from_json(Outcome, json.loads(ending.stdout), "the builder's answer")
    if outcome.failure is not None:
        raise error_from_failure(outcome.failure)
    if outcome.refused_write is not None:
        raise OSError(outcome.refused_write, os.strerror(outcome.refused_write), str(made))
    assert outcome.report is not None, "an outcome is one of three things"
    return outcome.report


def ending_of_child(
    request: object,
    folder: Path,
    command: Sequence[str],
    limit_mib: int | None = None,
    tick: Tick = unwatched,
) -> Ending:
    """What became of a process that was handed the request, a record, on its standard input.

    It runs in `folder`, one of ours, so that no file of the user's is taken for a module, and finds what we find.
    """
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [*command, str(os.getpid())],
        stdin=pipe,
        stdout=pipe,
        stderr=pipe,
        cwd=folder,
        env=child_environment(),
    ) as process:
        try:
            return watched(process, json.dumps(json_from_record(request)).encode(), limit_mib, tick)
        finally:
            process.kill()


def watched(process: subprocess.Popen[bytes], question: bytes, limit_mib: int | None, tick: Tick) -> Ending:
    peak, is_over_limit, waiting, begun_s = MemoryUse(0.0, 0.0), False, True, time.monotonic()
    sent: bytes | None = question
    while waiting:
        try:
            stdout, stderr = process.communicate(sent, SAMPLE_S)
            waiting = False
        except subprocess.TimeoutExpired:
            sent = None  # the pipe has it, or will
        now = memory_of_tree(process.pid)
        peak = MemoryUse(max(peak.held_mib, now.held_mib), max(peak.resident_mib, now.resident_mib))
        if waiting and limit_mib is not None and now.held_mib > limit_mib:
            is_over_limit = True
            process.kill()
        if waiting:
            tick(time.monotonic() - begun_s)
    return Ending(process.returncode, stdout, stderr.decode(errors="replace"), peak, is_over_limit)
