"""A float bundle in, a quantised bundle out, and what that cost."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

from calibration.agreement import Agreement, agreement_of
from calibration.aim import Aim, Kept, float_evaluation, kept_plan
from calibration.answers import Answers
from calibration.desk import Desk
from calibration.evaluation import Evaluation, evaluation_of
from calibration.excerpt import LIST_BYTES, excerpt_of
from calibration.page import page_from_quality
from calibration.plan import Plan
from calibration.planner import Planner, Subject
from calibration.prompts import check_prompts
from calibration.quality import accuracy_report, cache_report, figures_of, quality_from, table_report
from calibration.recipe import Recipe
from calibration.refusals import (
    check_aim,
    check_cache,
    check_float,
    check_place,
    check_ranking,
    check_recipe,
    check_room,
    check_samples,
    has_room,
)
from calibration.samples import SampleSet
from calibration.software import versions
from calibration.trial import Trial
from calibration.writer import PAGE_NAME, BundleWriter, written_in
from edge_runtime.bundle import Bundle, file_entries, write_manifest
from edge_runtime.errors import EdgeVLError
from edge_runtime.manifest import QUALITY_NAME, Calibration, Manifest
from edge_runtime.progress import Progress
from edge_runtime.publish import check_free_space, staged_folder
from edge_runtime.record import bytes_from_json, json_from_record

NO_SAMPLES = hashlib.sha256(b"").hexdigest()
NO_AIM = Aim()


def calibrate_bundle(
    bundle: Bundle,
    out: Path,
    recipe: Recipe,
    samples: SampleSet,
    threads: int,
    progress: Progress,
    aim: Aim = NO_AIM,
) -> Manifest:
    """Writes the bundle `out`, which must not exist; `bundle` is only read. The same input gives the same bytes.

    One that was killed goes on where it was when it is asked for again, with the same bytes as if it had not been.
    """
    check_place(bundle.folder, out)
    check_asked(bundle, recipe, samples, aim)
    desk = Desk(out, key_of(bundle, recipe, samples, threads))
    try:
        with staged_folder(out) as folder:
            subject = Subject(bundle, recipe, samples, threads, desk, progress)
            manifest = Calibrator(subject, aim, folder).run()
    except EdgeVLError as error:
        raise with_desk(error, desk) from error
    desk.clear()
    return manifest


def with_desk(error: EdgeVLError, desk: Desk) -> EdgeVLError:
    """What to do, where it is to ask for something else: what lies on the desk is of what was asked for."""
    if (
        not error.code.startswith("EVL-CALIBRATE")
        or error.code == "EVL-CALIBRATE-DESK"
        or not desk.folder.exists()
    ):
        return error
    fix = f"{error.fix} (asked for otherwise: remove {desk.folder.name} first, or choose another OUT)"
    return type(error)(error.code, error.what, error.why, fix)


def check_asked(bundle: Bundle, recipe: Recipe, samples: SampleSet, aim: Aim) -> None:
    check_recipe(recipe)
    check_float(bundle)
    check_samples(recipe, samples, aim.budget)
    if aim.is_ranked:
        check_ranking(recipe, bool(samples.samples), aim.budget)
    check_cache(bundle, recipe)
    check_prompts(bundle, samples.samples)
    check_aim(bundle, recipe, aim)


class Calibrator:
    """One calibration under way."""

    def __init__(self, subject: Subject, aim: Aim, folder: Path) -> None:
        self._subject, self._aim, self._folder = subject, aim, folder
        self._origin = origin_of(subject)

    def run(self) -> Manifest:
        subject, bundle = self._subject, self._subject.bundle
        subject.desk.check()
        check_free_space(self._folder.parent, sum(entry.bytes for entry in bundle.manifest.files))
        answers = subject.answers(subject.recipe.needs_answers)
        before = float_evaluation(subject, self._aim.exam)
        plan = Planner(subject, answers).plan()
        kept = self._kept(plan, answers, before)
        plan = plan if kept is None else kept.plan
        writer = BundleWriter(bundle, subject.recipe, plan, self._folder, subject.progress)
        draft = writer.write(self._origin)
        agreement = self._agreement(draft, answers)
        report = quality_from(subject.recipe, subject.samples, writer.outcomes, agreement)
        report |= {} if kept is None else kept.to_json(self._aim.budget)
        report |= {"table": table_report(bundle, draft)}
        report |= self._accuracy(draft, before) | self._cache(plan, answers)
        return self._finished(replace(draft, quality=figures_of(report)), report)

    def _kept(self, plan: Plan, answers: Answers, before: Evaluation | None) -> Kept | None:
        if not self._aim.needs_ranking:
            return None
        return kept_plan(self._subject, plan, answers, self._aim, before, self._origin)

    def _agreement(self, draft: Manifest, answers: Answers) -> Agreement | None:
        if not answers.compared:
            return None
        after, subject = Bundle(self._folder, draft), self._subject
        found = agreement_of(answers, after, subject.dialect, subject.threads, subject.progress)
        if not math.isfinite(found.kl):
            raise broken_error()
        return found

    def _accuracy(self, draft: Manifest, before: Evaluation | None) -> dict[str, object]:
        exam, subject = self._aim.exam, self._subject
        if exam is None or before is None:
            return {}
        after = evaluation_of(
            Bundle(self._folder, draft), subject.dialect, exam, subject.threads, subject.progress
        )
        return {"accuracy": accuracy_report(exam, before, after)}

    def _cache(self, plan: Plan, answers: Answers) -> dict[str, object]:
        subject = self._subject
        if plan.cache is None:
            return {}
        trial = Trial(subject.bundle, subject.dialect, answers, plan, subject.threads)
        return {"cache": cache_report(subject.bundle, trial.kl_of_cache(plan.cache))}

    def _finished(self, draft: Manifest, report: Mapping[str, object]) -> Manifest:
        for list_bytes in LIST_BYTES:
            self._write_report(excerpt_of(report, list_bytes))
            if has_room(self._folder, draft, self._aim):
                break
        manifest = replace(draft, files=file_entries(self._folder, written_in(self._folder), self._hashing))
        write_manifest(self._folder, manifest)
        check_room(self._folder, self._aim)
        return manifest

    def _write_report(self, report: Mapping[str, object]) -> None:
        (self._folder / QUALITY_NAME).write_bytes(bytes_from_json(report))
        page = page_from_quality(report, "What quantisation cost")
        (self._folder / PAGE_NAME).write_text(page, encoding="utf-8")

    def _hashing(self, _: str, done: int, total: int) -> None:
        self._subject.progress("hashing", done, total)


def origin_of(subject: Subject) -> Calibration:
    recipe, samples = subject.recipe, subject.samples
    count = len(samples.samples)
    return Calibration(recipe.method, recipe.observer, count, samples.sha256 if count else NO_SAMPLES)


def key_of(bundle: Bundle, recipe: Recipe, samples: SampleSet, threads: int) -> str:
    """Of everything that decides what a calibration finds, down to the last bit; `desk.MATTERS` says it in words."""
    files = [(entry.path, entry.sha256) for entry in bundle.manifest.files]
    manifest = bundle.manifest
    model = [
        json_from_record(manifest.spec),
        manifest.max_context,
    ]  # not in any file: how pictures and prompts are read
    said = [files, model, asdict(recipe), [each.sha256 for each in samples.samples], threads, versions()]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def broken_error() -> EdgeVLError:
    what, why = "the quantised model no longer answers", "its logits are not finite"
    fix = "ask for more bits (--decoder int8, --head int8, --vision fp16); a budget finds the layers that break it"
    return EdgeVLError("EVL-CALIBRATE-BROKEN", what, why, fix)
