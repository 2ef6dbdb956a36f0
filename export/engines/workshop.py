"""Every engine of a bundle, built one after the other onto a shelf; what is there already and whole is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from edge_runtime.bundle import Bundle
from edge_runtime.dialects import Dialect
from edge_runtime.digest import sha256_by_path
from edge_runtime.engines.key import FLAGS, EngineKey, digest_of_graph
from edge_runtime.engines.place import Place
from edge_runtime.engines.receipt import Contents, Cost, Receipt, write_receipt
from edge_runtime.engines.shelf import Shelf
from edge_runtime.manifest import GraphEntry
from edge_runtime.progress import Progress
from edge_runtime.publish import check_free_space, staged_folder, sweep_leftovers
from edge_runtime.version import VERSION
from export.engines.compilation import Compiled, attention_layers, compiled_engine, engine_shapes
from export.engines.compiler import Tick, build_engine
from export.engines.experience import Lap, Taken, expected_s, taken_from_receipt, taken_on
from export.engines.need import MIB, Need, need_of
from export.engines.request import BuildReport, BuildRequest
from export.engines.serving import EngineShape, Serving, check_serving, reach_of
from export.engines.timing_cache import timing_file

SPARE = 1.1  # of the weights' size: kernels beside them


@dataclass(frozen=True)
class Order:
    """One engine that a bundle asks for, and what building it will take."""

    entry: GraphEntry
    shape: EngineShape
    key: EngineKey
    need: Need


@dataclass(frozen=True)
class Made:
    """`fault` is what was wrong with the one that lay there before, "" where none did."""

    receipt: Receipt
    is_new: bool
    fault: str = ""


Build = Callable[[BuildRequest, int | None], BuildReport]


def orders_of(bundle: Bundle, dialect: Dialect, place: Place, serving: Serving) -> list[Order]:
    """EVL-BUNDLE-DIALECT and EVL-CONTEXT-LIMIT where the bundle has not what is asked for."""
    check_serving(serving, bundle.manifest.max_context)
    bundle.graph("decoder", dialect)  # there is one in every dialect that the bundle has
    return [
        Order(entry, shape, key_of(bundle, entry, shape, place), need_of(bundle.onnx_file(entry)))
        for entry in bundle.manifest.graphs
        if entry.dialect == dialect
        for shape in engine_shapes(bundle, entry, serving)
    ]


def key_of(bundle: Bundle, entry: GraphEntry, shape: EngineShape, place: Place) -> EngineKey:
    shapes = "; ".join(
        f"{profile.name}: " + ", ".join(f"{name} {sizes}" for name, sizes in sorted(profile.inputs.items()))
        for profile in shape.profiles
    )
    graph = digest_of_graph(bundle, entry)
    return EngineKey(
        shape.name, entry.role, entry.dialect, graph, shapes, *reach_of(entry, shape), FLAGS, place
    )


@dataclass(frozen=True)
class Workshop:
    """Where engines are made: of one bundle, onto one shelf, each in no more memory than `limit_mib`. What stands in
    for the compiler as `build` tells nothing while it works."""

    bundle: Bundle
    shelf: Shelf
    limit_mib: int
    progress: Progress
    build: Build | None = None

    def made(self, orders: list[Order]) -> Iterator[Made]:
        """In their order, as soon as each is there. One that another process makes is waited for."""
        total = sum(order.need.plan_mib for order in orders) * MIB
        done = 0
        taken = taken_on(self.shelf, orders[0].key.place) if orders else []
        for order in orders:
            lap = lap_of(order, done, taken)
            tick = partial(self._tell, lap, total)
            tick(0.0)
            # Bytes are told by the first word.
            waiting = partial(self.progress, f"building {lap.name} in another process", done, total)
            made = self._made(order, waiting, tick)
            taken.append(taken_from_receipt(made.receipt))
            yield made
            done += lap.size
        self.progress("building", total, total)

    def _tell(self, lap: Lap, total: int, seconds: float) -> None:
        self.progress(*lap.told(seconds), total)

    def _made(self, order: Order, waiting: Callable[[], None], tick: Tick) -> Made:
        with self.shelf.locked(order.key, waiting):
            sweep_leftovers(self.shelf.path(order.key))  # a kill may have left them beside a whole engine
            found = self.shelf.look(order.key)
            if found.receipt is not None:
                return Made(found.receipt, is_new=False)
            if found.fault:
                self.shelf.remove(order.key)
            return Made(self._built(order, tick), is_new=True, fault=found.fault)

    def _built(self, order: Order, tick: Tick) -> Receipt:
        check_free_space(self.shelf.folder, round(SPARE * order.need.plan_mib * MIB))
        timings = timing_file(self.shelf.folder, order.key.place)
        build = self.build or partial(build_engine, tick=tick)

        def limited(request: BuildRequest) -> BuildReport:
            return build(replace(request, timings=timings), self.limit_mib)

        with staged_folder(self.shelf.path(order.key)) as folder:
            engine = order.key.place.engine
            compiled = compiled_engine(self.bundle, order.entry, engine, order.shape, folder, limited)
            receipt = receipt_from(compiled, order, self.bundle, folder)
            write_receipt(folder, receipt)
        return receipt


def lap_of(order: Order, done: int, taken: list[Taken]) -> Lap:
    name, mib = order.shape.name, order.need.plan_mib
    return Lap(name, done, mib * MIB, expected_s(taken, name, mib))


def receipt_from(compiled: Compiled, order: Order, bundle: Bundle, folder: Path) -> Receipt:
    report, plan = compiled.build, Path(compiled.build.plan)
    (digest,) = sha256_by_path(folder, {plan.name: report.plan_bytes}).values()
    seconds = round(report.parse_seconds + report.build_seconds, 2)
    cost = Cost(seconds, round(report.peak_held_mib, 1), round(report.peak_resident_mib, 1))
    return Receipt(
        order.key,
        order.entry.precision,
        plan.name,
        report.plan_bytes,
        digest,
        contents_of(compiled, order, bundle),
        cost,
        VERSION,
        (*report.warnings, *compiled.found.refusals),
    )


def contents_of(compiled: Compiled, order: Order, bundle: Bundle) -> Contents:
    layers = attention_layers(compiled.role, bundle.spec)
    if not compiled.found.reports:
        untold = (None,) * len(order.shape.profiles)
        return Contents(layers, untold, untold, untold)
    profiles = compiled.found.reports[0].profiles
    return Contents(
        layers,
        tuple(each.fused_attention() for each in profiles),
        tuple(each.constant_bytes for each in profiles),
        tuple(each.activation_bytes for each in profiles),
    )
