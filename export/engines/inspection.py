"""A plan made into an engine on this machine's GPU and looked into there, in a process of its own."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_runtime.child import signal_name
from edge_runtime.engines.place import EngineName
from edge_runtime.errors import MachineFault, one_line
from edge_runtime.record import record_from_json
from export.engines.compiler import Ending, ending_of_child
from export.engines.engine_inspector import way_around
from export.engines.inspector import PlanReport
from export.engines.products import NetworkProduct
from export.engines.request import Failure, error_from_failure

CHILD = (sys.executable, "-m", "export.engines.inspection_child")


@dataclass(frozen=True)
class InspectionRequest:
    """One plan, for the library that it was built with, and what its network multiplies, if that is known."""

    plan: str
    engine: EngineName
    products: tuple[NetworkProduct, ...] | None = None


@dataclass(frozen=True)
class Inspection:
    """What became of it: a report, a failure, or neither where no device answered."""

    report: PlanReport | None = None
    failure: Failure | None = None

    def __post_init__(self) -> None:
        if self.report is not None and self.failure is not None:
            raise ValueError("an inspection that failed has no report")


def report_from_device(
    path: Path,
    engine: EngineName,
    asked: tuple[NetworkProduct, ...] | None = None,
    command: Sequence[str] = CHILD,
) -> PlanReport | None:
    """The rows that the plan's own listing has, told by the engine; None where no device answers.

    EVL-FILE, EVL-ENGINE-* and, where the process that asks dies, EVL-INSPECT-CRASH.
    """
    request = InspectionRequest(str(path.absolute()), engine, asked)
    with tempfile.TemporaryDirectory() as folder:
        ending = ending_of_child(request, Path(folder), command)
    if ending.status != 0 or not ending.stdout:
        raise crash_error(path, engine, ending)
    inspection = record_from_json(Inspection, json.loads(ending.stdout), "the inspector's answer")
    if inspection.failure is not None:
        raise error_from_failure(inspection.failure)
    return inspection.report


def crash_error(path: Path, engine: EngineName, ending: Ending) -> MachineFault:
    last = next((line for line in reversed(ending.stderr.splitlines()) if line.strip()), "it said nothing")
    how = signal_name(-ending.status) if ending.status < 0 else f"status {ending.status} and no answer"
    why = one_line(f"its process was ended by {how} at {ending.peak.held_mib:.0f} MiB: {last}")
    what = f"looking into {path.name} on the GPU crashed"
    fix = f"close other programs and try again, or {way_around(engine)}"
    return MachineFault("EVL-INSPECT-CRASH", what, why, fix)
