"""A bundle's graphs through the engine library, one after the other, and what became of each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edge_runtime.bundle import Bundle
from edge_runtime.dialects import Dialect
from edge_runtime.manifest import GraphEntry
from edge_runtime.spec import ModelSpec, Role
from export.engines.compiler import build_engine
from export.engines.cuda import has_driver
from export.engines.inspection import report_from_device
from export.engines.inspector import PlanReport, report_from_plan
from export.engines.library import EngineName
from export.engines.request import BuildReport, BuildRequest
from export.engines.serving import EngineShape, Serving, engines_from_graph

PLAN_SUFFIX = ".plan"


@dataclass(frozen=True)
class Compiled:
    """One engine: what its build cost, and what is in it: by the plan's own listing, and on a machine with a GPU by
    the engine made of it as well."""

    role: Role
    dialect: Dialect
    name: str
    build: BuildReport
    plan: PlanReport
    engine: PlanReport | None

    def has_fused_attention(self, spec: ModelSpec) -> bool:
        """Whether every attention layer became one kernel, in every profile."""
        wanted = attention_layers(self.role, spec)
        reports = [self.plan] if self.engine is None else [self.plan, self.engine]
        profiles = [profile for report in reports for profile in report.profiles]
        return all(profile.fused_attention() == wanted for profile in profiles)


def attention_layers(role: Role, spec: ModelSpec) -> int:
    if role == "vision_high":
        assert spec.high is not None, "this model has no high-resolution tower"
        return spec.high.layers
    layers: dict[Role, int] = {"vision_low": spec.low.layers, "decoder": spec.decoder.layers}
    return layers.get(role, 0)


def compiled_engines(
    bundle: Bundle, dialect: Dialect, engine: EngineName, serving: Serving, folder: Path
) -> Iterator[Compiled]:
    """Every engine of the dialect's graphs, as soon as it is built into `folder`."""
    for entry in bundle.manifest.graphs:
        if entry.dialect == dialect:
            for shape in engines_from_graph(entry, serving):
                yield compiled_engine(bundle, entry, engine, shape, folder)


def compiled_engine(
    bundle: Bundle, entry: GraphEntry, engine: EngineName, shape: EngineShape, folder: Path
) -> Compiled:
    plan = folder / f"{shape.name}{PLAN_SUFFIX}"
    request = BuildRequest(entry.role, engine, str(bundle.path_of(entry)), str(plan), shape.profiles)
    build = build_engine(request)
    seen = report_from_device(plan, engine) if has_driver() else None
    return Compiled(entry.role, entry.dialect, shape.name, build, report_from_plan(plan), seen)
