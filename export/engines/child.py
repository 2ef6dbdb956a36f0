"""`python -m export.engines.child`: one request on stdin, one outcome on stdout, both JSON."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from edge_runtime.engines.library import opened_library
from edge_runtime.errors import EdgeVLError
from edge_runtime.memory import peak_resident_mib
from edge_runtime.record import json_from_record, record_from_json
from export.engines.builder import build_plan
from export.engines.failures import memory_error
from export.engines.network import NoMemoryError
from export.engines.planfile import WriteRefusedError
from export.engines.request import BuildRequest, Outcome, failure_from_error

PR_SET_PDEATHSIG = 1
OOM_SCORE = Path("/proc/self/oom_score_adj")


def main() -> None:
    answer(lambda question: outcome_of(record_from_json(BuildRequest, question, "the build request")))


def answer(reply: Callable[[object], object]) -> None:
    """One record for one question. Leaves stdout to it alone: the library's own prints go to stderr."""
    become_expendable()
    answers = os.dup(1)
    os.dup2(2, 1)
    told = json.dumps(json_from_record(reply(json.loads(sys.stdin.buffer.read())))).encode()
    with os.fdopen(answers, "wb") as channel:
        channel.write(told)


def become_expendable() -> None:
    """Where memory runs out this process is ended before any other, and it never outlives its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent too, which ends this one
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(sys.argv[1]):
        sys.exit(0)  # the parent had ended before it could be told to take this one along
    if os.access(OOM_SCORE, os.W_OK):
        OOM_SCORE.write_text("1000", encoding="ascii")


def outcome_of(request: BuildRequest) -> Outcome:
    try:
        return Outcome(report=build_plan(opened_library(request.engine), request))
    except EdgeVLError as error:
        return Outcome(failure=failure_from_error(error))
    except (MemoryError, NoMemoryError) as fault:
        words = str(fault) or "an allocation was refused"
        return Outcome(failure=failure_from_error(memory_error(request.role, words, peak_resident_mib())))
    except WriteRefusedError as fault:
        return Outcome(refused_write=fault.number)


if __name__ == "__main__":
    main()
