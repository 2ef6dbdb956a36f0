"""What is asked of one build and what comes of it: the words between the two processes."""

from __future__ import annotations

from dataclasses import dataclass

from edge_runtime.engines.place import EngineName
from edge_runtime.errors import EdgeVLError, MachineFault
from export.engines.products import NetworkProduct
from export.engines.shapes import Profile


@dataclass(frozen=True)
class BuildRequest:
    """One graph to one plan. `timings` is a file of what was timed before, read if it is there, and written; None
    where nothing is kept of it."""

    role: str
    engine: EngineName
    onnx: str
    plan: str
    profiles: tuple[Profile, ...] = ()
    timings: str | None = None

    def __post_init__(self) -> None:
        names = [profile.name for profile in self.profiles]
        if len(set(names)) != len(names):
            raise ValueError(f"two profiles have one name: {names}")


@dataclass(frozen=True)
class BuildReport:
    """One plan and what it cost. `activation_bytes` has one figure a profile, in order; it and `weight_bytes`
    are what the library's log says, None where it does not. `held` memory is anonymous and shared, `resident`
    counts file-mapped pages too. `layers` counts the network's layers by type and `products` names those that
    multiply matrices, before the engine fuses them."""

    role: str
    engine: EngineName
    engine_version: str
    plan: str
    plan_bytes: int
    parse_seconds: float
    build_seconds: float
    peak_held_mib: float
    peak_resident_mib: float
    activation_bytes: tuple[int, ...] | None
    weight_bytes: int | None
    layers: dict[str, int]
    products: tuple[NetworkProduct, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Failure:
    """An EdgeVLError on its way from one process to another."""

    code: str
    what: str
    why: str
    fix: str
    is_machine_fault: bool


@dataclass(frozen=True)
class Outcome:
    """How a build ended: exactly one of the three. `refused_write` is the errno of a write to the plan."""

    report: BuildReport | None = None
    failure: Failure | None = None
    refused_write: int | None = None

    def __post_init__(self) -> None:
        if [self.report, self.failure, self.refused_write].count(None) != 2:
            raise ValueError("an outcome is one thing")


def failure_from_error(error: EdgeVLError) -> Failure:
    return Failure(error.code, error.what, error.why, error.fix, isinstance(error, MachineFault))


def error_from_failure(failure: Failure) -> EdgeVLError:
    kind = MachineFault if failure.is_machine_fault else EdgeVLError
    return kind(failure.code, failure.what, failure.why, failure.fix)
