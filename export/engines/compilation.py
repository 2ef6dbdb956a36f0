"""A bundle's graphs through the engine library, one after the other, and what became of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from edge_runtime.bundle import Bundle
from edge_runtime.dialects import Dialect
from edge_runtime.engines.driver import has_driver
from edge_runtime.engines.place import EngineName
from edge_runtime.manifest import GraphEntry
from edge_runtime.spec import ModelSpec, Role
from export.engines.compiler import build_engine
from export.engines.findings import Ask, Findings, findings_from
from export.engines.inspection import report_from_device
from export.engines.inspector import PlanReport, report_from_plan
from export.engines.request import BuildReport, BuildRequest
from export.engines.serving import EngineShape, Serving, check_serving, engines_from_graph
from export.engines.sharing import has_byte_layers, has_shared_weights

Build = Callable[[BuildRequest], BuildReport]

PLAN_SUFFIX = ".plan"
LISTED: EngineName = "tensorrt-rtx"  # TensorRT itself writes no listing into its plans


@dataclass(frozen=True)
class Compiled:
    """One engine: what its build cost, and what is in it."""

    role: Role
    dialect: Dialect
    name: str
    build: BuildReport
    found: Findings

    @property
    def plan(self) -> PlanReport | None:
        return self.found.plan

    @property
    def engine(self) -> PlanReport | None:
        return self.found.engine

    def has_fused_attention(self, spec: ModelSpec) -> bool | None:
        """Whether every attention layer became one kernel in every profile; None where no source tells of them all."""
        wanted = attention_layers(self.role, spec)
        told = [[profile.fused_attention() for profile in report.profiles] for report in self.found.reports]
        if any(count not in (None, wanted) for counts in told for count in counts):
            return False
        return True if any(None not in counts for counts in told) else None


def attention_layers(role: Role, spec: ModelSpec) -> int:
    if role == "vision_high":
        assert spec.high is not None, "this model has no high-resolution tower"
        return spec.high.layers
    layers: dict[Role, int] = {"vision_low": spec.low.layers, "decoder": spec.decoder.layers}
    return layers.get(role, 0)


def compiled_engines(
    bundle: Bundle, dialect: Dialect, engine: EngineName, serving: Serving, folder: Path
) -> Iterator[Compiled]:
    """Every engine of the dialect's graphs, as soon as it is built into `folder`.

    EVL-BUNDLE-DIALECT and EVL-CONTEXT-LIMIT, before anything is built, where the bundle has not what is asked for.
    """
    check_serving(serving, bundle.manifest.max_context)
    bundle.graph("decoder", dialect)  # there is one in every dialect that the bundle has
    entries = [entry for entry in bundle.manifest.graphs if entry.dialect == dialect]
    return (
        compiled_engine(bundle, entry, engine, shape, folder)
        for entry in entries
        for shape in engine_shapes(bundle, entry, serving)
    )


def engine_shapes(bundle: Bundle, entry: GraphEntry, serving: Serving) -> tuple[EngineShape, ...]:
    graph = bundle.onnx_file(entry)
    return engines_from_graph(entry, serving, has_shared_weights(graph), has_byte_layers(graph))


def compiled_engine(
    bundle: Bundle,
    entry: GraphEntry,
    engine: EngineName,
    shape: EngineShape,
    folder: Path,
    build: Build = build_engine,
) -> Compiled:
    plan = folder / f"{shape.name}{PLAN_SUFFIX}"
    request = BuildRequest(entry.role, engine, str(bundle.path_of(entry)), str(plan), shape.profiles)
    report = build(request)
    asked = report.products
    listing: Ask = (lambda: report_from_plan(plan, asked)) if engine == LISTED else nobody
    device: Ask = (lambda: report_from_device(plan, engine, asked)) if has_driver() else nobody
    return Compiled(entry.role, entry.dialect, shape.name, report, findings_from(plan, listing, device))


def nobody() -> None:
    """A source that there is not."""
