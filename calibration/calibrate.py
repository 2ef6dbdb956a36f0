"""A float bundle in, a quantised bundle out: ranges, integers, and what they cost."""

from __future__ import annotations

import hashlib
import posixpath
import shutil
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

from calibration.agreement import Agreement, agreement_of
from calibration.blocks import Quantised, Weight, quantised_from_weight
from calibration.decision import Decision, Float, Int4, Int8
from calibration.decoding import decoder_feeds
from calibration.gptq import gptq_from_weight
from calibration.moments import Moments
from calibration.page import page_from_quality
from calibration.quantgraph import Outcome, Quantise, write_quantised_graph
from calibration.ranges import Reaches, layer_names, vision_ranges
from calibration.recipe import Recipe
from calibration.samples import SampleSet
from edge_runtime.bundle import Bundle, file_entries, write_manifest
from edge_runtime.dialects import Dialect
from edge_runtime.errors import EdgeVLError
from edge_runtime.manifest import Calibration, GraphEntry, Manifest
from edge_runtime.progress import Progress
from edge_runtime.publish import check_free_space, staged_folder
from edge_runtime.record import bytes_from_json

QUALITY_NAME, PAGE_NAME = "quality.json", "quality.html"
ASKED = 16  # samples that both bundles answer
NO_SAMPLES = hashlib.sha256(b"").hexdigest()


def calibrate_bundle(
    bundle: Bundle, out: Path, recipe: Recipe, samples: SampleSet, threads: int, progress: Progress
) -> Manifest:
    """Writes the bundle `out`, which must not exist; `bundle` is only read. The same input gives the same bytes."""
    check_float(bundle)
    check_samples(recipe, samples)
    with staged_folder(out) as folder:
        return Calibrator(bundle, recipe, samples, threads, folder, progress).run()


class Calibrator:
    """One calibration under way."""

    def __init__(
        self,
        bundle: Bundle,
        recipe: Recipe,
        samples: SampleSet,
        threads: int,
        folder: Path,
        progress: Progress,
    ) -> None:
        self.bundle, self.recipe, self.samples = bundle, recipe, samples
        self.threads, self.folder, self.progress = threads, folder, progress
        dialects = bundle.manifest.dialects
        self.dialect: Dialect = "ort" if "ort" in dialects else dialects[0]  # what is run here
        self.outcomes: dict[str, dict[str, tuple[Outcome, ...]]] = {}
        self.total = sum(entry.bytes for entry in bundle.manifest.files)
        self.done = 0

    def run(self) -> Manifest:
        check_free_space(self.folder.parent, self.total)
        ranges, quantise = self._ranges(), self._quantise()
        self._copy_rest()
        graphs = tuple(self._write_graph(entry, ranges, quantise) for entry in self.bundle.manifest.graphs)
        draft = replace(
            self.bundle.manifest,
            graphs=graphs,
            files=file_entries(self.folder, self._written()),
            calibration=self._origin(),
        )
        agreement = self._agreement(draft)
        report = quality_from(self.recipe, self.samples, self.outcomes, agreement)
        (self.folder / QUALITY_NAME).write_bytes(bytes_from_json(report))
        page = page_from_quality(report, "What quantisation cost")
        (self.folder / PAGE_NAME).write_text(page, encoding="utf-8")
        files = file_entries(self.folder, self._written(), self._hashing)
        manifest = replace(draft, files=files, quality=headline(agreement))
        write_manifest(self.folder, manifest)
        return manifest

    def _ranges(self) -> Reaches:
        if self.recipe.vision != "int8":
            return {}
        return vision_ranges(
            self.bundle, self.dialect, self.samples, self.recipe.observer, self.threads, self.progress
        )

    def _copy_rest(self) -> None:
        """Everything but graphs, byte for byte; hashes were checked when the bundle was opened."""
        of_graphs = {name for entry in self.bundle.manifest.graphs for name in files_of(self.bundle, entry)}
        for entry in self.bundle.manifest.files:
            if entry.path not in of_graphs and entry.path not in (QUALITY_NAME, PAGE_NAME):
                self._copy(entry.path)

    def _copy(self, name: str) -> None:
        target = self.folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self.bundle.folder / name, target)
        self._tick(target.stat().st_size)

    def _quantise(self) -> Quantise:
        """How weights become integers."""
        if not self.recipe.has_gptq:
            return quantised_from_weight
        feeds = decoder_feeds(self.bundle, self.dialect, self.samples, self.threads, self.progress)
        entry = self.bundle.graph("decoder", self.dialect)
        # Always of the same dialect's graph, so that integers are the same in all of them.
        names = layer_names(self.bundle, entry)
        moments = Moments(self.bundle.path_of(entry), names, feeds, self.threads)

        def quantise(name: str, weight: Weight, how: Int4 | Int8) -> Quantised:
            if isinstance(how, Int8):
                return quantised_from_weight(name, weight, how)
            return gptq_from_weight(name, weight, how.block, moments.of(name))

        return quantise

    def _write_graph(self, entry: GraphEntry, ranges: Reaches, quantise: Quantise) -> GraphEntry:
        decisions = self.recipe.decisions(
            entry.role, layer_names(self.bundle, entry), ranges.get(entry.role, {})
        )
        if not decisions:
            for name in files_of(self.bundle, entry):
                self._copy(name)
            return entry
        target = self.folder / entry.path
        target.parent.mkdir(parents=True, exist_ok=True)
        written = write_quantised_graph(
            self.bundle.path_of(entry), target, entry.dialect, decisions, quantise, self._tick
        )
        self.outcomes.setdefault(entry.dialect, {})[entry.role] = written.outcomes
        precision = self.recipe.precision(entry.role, entry.precision)
        return replace(entry, precision=precision, opset=written.opset)

    def _agreement(self, draft: Manifest) -> Agreement | None:
        asked = self.samples.samples[:ASKED]
        if not asked:
            return None
        after = Bundle(self.folder, draft)
        return agreement_of(self.bundle, after, self.dialect, asked, self.threads, self.progress)

    def _origin(self) -> Calibration:
        count = len(self.samples.samples)
        return Calibration(
            self.recipe.method, self.recipe.observer, count, self.samples.sha256 if count else NO_SAMPLES
        )

    def _tick(self, count: int) -> None:
        self.done += count
        self.progress("writing", min(self.done, self.total), self.total)

    def _hashing(self, _: str, done: int, total: int) -> None:
        self.progress("hashing", done, total)

    def _written(self) -> list[str]:
        names = (path.relative_to(self.folder) for path in self.folder.rglob("*") if path.is_file())
        return [name.as_posix() for name in names if not name.name.startswith(".")]


def check_float(bundle: Bundle) -> None:
    if bundle.manifest.calibration is not None:
        what, why = "this bundle is quantised already", "integers are made of floats, not of other integers"
        raise EdgeVLError("EVL-CALIBRATE-FLOAT", what, why, "give the float bundle that it was made from")


def check_samples(recipe: Recipe, samples: SampleSet) -> None:
    if recipe.needs_samples and not samples.samples:
        what, why = "there are no samples", "8-bit products and GPTQ need to know what layers read"
        fix = "give --images DIR or --samples FILE.jsonl, or ask for --vision fp16 and --method rtn"
        raise EdgeVLError("EVL-CALIBRATE-SAMPLES", what, why, fix)


def files_of(bundle: Bundle, entry: GraphEntry) -> list[str]:
    """The graph and its data files, relative to the bundle."""
    folder = posixpath.dirname(entry.path)
    places = [each.external for each in bundle.onnx_file(entry).tensors if each.external is not None]
    data = dict.fromkeys(posixpath.join(folder, place.location) for place in places)
    return [entry.path, *data]


def quality_from(
    recipe: Recipe,
    samples: SampleSet,
    outcomes: Mapping[str, Mapping[str, tuple[Outcome, ...]]],
    agreement: Agreement | None,
) -> dict[str, object]:
    """What `quality.json` holds. Integers and scales are the same in all dialects, so one of them is told."""
    first = next(iter(outcomes.values()), {})
    return {
        "recipe": asdict(recipe),
        "samples": {
            "count": len(samples.samples),
            "names": [each.name for each in samples.samples],
            "broken": list(samples.broken),
        },
        "roles": {role: [layer_report(each) for each in every] for role, every in first.items()},
        "agreement": headline(agreement),
        "answers": [] if agreement is None else [asdict(each) for each in agreement.answers],
    }


def layer_report(outcome: Outcome) -> dict[str, object]:
    said: dict[str, object] = {"layer": outcome.layer + outcome.part, "as": words_of(outcome.decision)}
    if isinstance(outcome.decision, Float) and outcome.decision.reason:
        said["why"] = outcome.decision.reason
    if outcome.sqnr_db is not None:
        said["sqnr_db"] = round(outcome.sqnr_db, 3)
    return said | {"bytes_before": outcome.source_bytes, "bytes": outcome.bytes}


def words_of(decision: Decision) -> str:
    """As in "int4/128", "int8 products" and "float"."""
    if isinstance(decision, Float):
        return "float"
    if isinstance(decision, Int4):
        return f"int4/{decision.block}"
    return "int8" if decision.activation_scale is None else "int8 products"


def headline(agreement: Agreement | None) -> dict[str, float] | None:
    if agreement is None:
        return None
    return {"logit_kl": agreement.kl, "top1": agreement.top1, "greedy": agreement.agreed}
