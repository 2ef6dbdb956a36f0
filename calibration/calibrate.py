"""A float bundle in, a quantised bundle out: ranges, integers, and what they cost."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from calibration.agreement import Agreement, agreement_of
from calibration.answers import Answers, decoder_feeds, float_answers
from calibration.awq import AwqSearch
from calibration.desk import Desk
from calibration.migration import pairs_of, scaling_from_factors
from calibration.moments import Moments
from calibration.page import page_from_quality
from calibration.plan import GptqRounding, Plan
from calibration.quality import headline, quality_from
from calibration.ranges import Ranges, layer_names, vision_ranges
from calibration.recipe import Recipe
from calibration.samples import SampleSet
from calibration.writer import PAGE_NAME, QUALITY_NAME, BundleWriter, written_in
from edge_runtime.backends.ort import imported_onnxruntime
from edge_runtime.bundle import Bundle, file_entries, write_manifest
from edge_runtime.dialects import Dialect
from edge_runtime.errors import EdgeVLError
from edge_runtime.manifest import Calibration, Manifest
from edge_runtime.progress import Progress
from edge_runtime.publish import check_free_space, staged_folder
from edge_runtime.record import bytes_from_json
from edge_runtime.version import VERSION

NO_SAMPLES = hashlib.sha256(b"").hexdigest()


def calibrate_bundle(
    bundle: Bundle, out: Path, recipe: Recipe, samples: SampleSet, threads: int, progress: Progress
) -> Manifest:
    """Writes the bundle `out`, which must not exist; `bundle` is only read. The same input gives the same bytes.

    One that was killed goes on where it was when it is asked for again, with the same bytes as if it had not been.
    """
    check_float(bundle)
    check_samples(recipe, samples)
    with staged_folder(out) as folder:
        desk = Desk(out, key_of(bundle, recipe, samples, threads))
        manifest = Calibrator(bundle, recipe, samples, threads, folder, desk, progress).run()
    desk.clear()
    return manifest


class Calibrator:
    """One calibration under way."""

    def __init__(
        self,
        bundle: Bundle,
        recipe: Recipe,
        samples: SampleSet,
        threads: int,
        folder: Path,
        desk: Desk,
        progress: Progress,
    ) -> None:
        self.bundle, self.recipe, self.samples = bundle, recipe, samples
        self.threads, self.folder, self.desk, self.progress = threads, folder, desk, progress
        dialects = bundle.manifest.dialects
        # What is run here, and what integers are made from: so that they are the same in all dialects.
        self.dialect: Dialect = "ort" if "ort" in dialects else dialects[0]

    def run(self) -> Manifest:
        check_free_space(self.folder.parent, sum(entry.bytes for entry in self.bundle.manifest.files))
        ranges, answers = self._ranges(), self._answers()
        plan = self._plan(ranges, answers)
        writer = BundleWriter(self.bundle, self.recipe, plan, self.folder, self.progress)
        draft = writer.write(self._origin())
        agreement = self._agreement(draft, answers)
        report = quality_from(self.recipe, self.samples, writer.outcomes, agreement)
        return self._finished(replace(draft, quality=headline(agreement)), report)

    def _finished(self, draft: Manifest, report: dict[str, object]) -> Manifest:
        (self.folder / QUALITY_NAME).write_bytes(bytes_from_json(report))
        page = page_from_quality(report, "What quantisation cost")
        (self.folder / PAGE_NAME).write_text(page, encoding="utf-8")
        manifest = replace(draft, files=file_entries(self.folder, written_in(self.folder), self._hashing))
        write_manifest(self.folder, manifest)
        return manifest

    def _ranges(self) -> Ranges:
        if self.recipe.vision != "int8":
            return Ranges()
        return vision_ranges(
            self.bundle,
            self.dialect,
            self.samples,
            self.recipe.observer,
            self.recipe.smooth,
            self.threads,
            self.desk,
            self.progress,
        )

    def _answers(self) -> Answers:
        return float_answers(
            self.bundle,
            self.dialect,
            self.samples,
            self.recipe.needs_moments,
            self.threads,
            self.desk,
            self.progress,
        )

    def _plan(self, ranges: Ranges, answers: Answers) -> Plan:
        entries = [entry for entry in self.bundle.manifest.graphs if entry.dialect == self.dialect]
        decisions = {
            entry.role: self.recipe.decisions(
                entry.role, layer_names(self.bundle, entry), ranges.reaches.get(entry.role, {})
            )
            for entry in entries
        }
        plan = Plan(decisions, scalings=ranges.scalings)
        return self._fitted(plan, answers) if self.recipe.needs_moments else plan

    def _fitted(self, plan: Plan, answers: Answers) -> Plan:
        """To what the decoder's layers read."""
        entry = self.bundle.graph("decoder", self.dialect)
        path, names = self.bundle.path_of(entry), layer_names(self.bundle, entry)
        moments = Moments(path, names, decoder_feeds(entry, answers), self.threads)
        if self.recipe.method == "gptq":
            return replace(plan, quantise=GptqRounding(moments, self.desk))
        search = AwqSearch(path, plan.decisions["decoder"], moments, self.desk)
        found = search.factors(pairs_of(self.bundle, "decoder"), self.progress)
        return replace(plan, scalings={**plan.scalings, "decoder": scaling_from_factors(found)})

    def _agreement(self, draft: Manifest, answers: Answers) -> Agreement | None:
        if not answers.compared:
            return None
        after = Bundle(self.folder, draft)
        return agreement_of(answers, after, self.dialect, self.threads, self.progress)

    def _origin(self) -> Calibration:
        count = len(self.samples.samples)
        return Calibration(
            self.recipe.method, self.recipe.observer, count, self.samples.sha256 if count else NO_SAMPLES
        )

    def _hashing(self, _: str, done: int, total: int) -> None:
        self.progress("hashing", done, total)


def key_of(bundle: Bundle, recipe: Recipe, samples: SampleSet, threads: int) -> str:
    """Of everything that decides what a calibration finds, down to the last bit."""
    files = [(entry.path, entry.sha256) for entry in bundle.manifest.files]
    versions = [VERSION, imported_onnxruntime().__version__, np.__version__]
    said = [files, asdict(recipe), [each.sha256 for each in samples.samples], threads, versions]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def check_float(bundle: Bundle) -> None:
    if bundle.manifest.calibration is not None:
        what, why = "this bundle is quantised already", "integers are made of floats, not of other integers"
        raise EdgeVLError("EVL-CALIBRATE-FLOAT", what, why, "give the float bundle that it was made from")


def check_samples(recipe: Recipe, samples: SampleSet) -> None:
    if recipe.needs_samples and not samples.samples:
        what, why = "there are no samples", "8-bit products, GPTQ and AWQ need to know what layers read"
        fix = "give --images DIR or --samples FILE.jsonl, or ask for --vision fp16 and --method rtn"
        raise EdgeVLError("EVL-CALIBRATE-SAMPLES", what, why, fix)
