"""`edge-vl calibrate`."""

from __future__ import annotations

import json
import os
import time
from argparse import Namespace
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edge_runtime.bundle import Bundle
from edge_vl.verbs.folders import refuse_checkpoint
from edge_vl.verbs.verify import quality_in_words
from edge_vl.verbs.workbench import workbench

if TYPE_CHECKING:
    from pathlib import Path

    from calibration.aim import Aim
    from calibration.budget import Budget
    from calibration.recipe import Recipe
    from calibration.samples import SampleSet
    from edge_runtime.manifest import Manifest
    from edge_vl.terminal import Terminal

SAMPLE_LIMIT = 128


def run(arguments: Namespace, terminal: Terminal) -> int:
    start = time.monotonic()
    refuse_checkpoint(arguments.bundle)
    with workbench("calibrate"):
        from calibration.calibrate import calibrate_bundle
    # What is wrong with the command line alone is said before a bundle is hashed and pictures are opened.
    recipe, budget = checked_recipe(arguments), checked_budget(arguments)
    check_given_samples(arguments, recipe, budget)
    bundle = Bundle.open(arguments.bundle, arguments.trust_bundle, terminal.progress)
    samples, aim = samples_from_arguments(arguments), aim_from_arguments(arguments, budget)
    threads = len(os.sched_getaffinity(0))
    manifest = calibrate_bundle(bundle, arguments.out, recipe, samples, threads, terminal.progress, aim)
    done = Done(arguments.out, bundle.manifest, manifest, samples, aim, time.monotonic() - start)
    if arguments.json:
        terminal.json(json_from_done(done))
    else:
        show(done, terminal)
    return 0


@dataclass(frozen=True, eq=False)
class Done:
    """A calibration that went well."""

    out: Path
    before: Manifest
    after: Manifest
    samples: SampleSet
    aim: Aim
    seconds: float

    @property
    def accuracy(self) -> dict[str, Any] | None:
        """What became of the exam, but for the single questions."""
        if self.aim.exam is None:
            return None
        report = json.loads((self.out / "quality.json").read_bytes())["accuracy"]
        return {name: report[name] for name in ("questions", "before", "after", "lost_points")}

    @property
    def broken_questions(self) -> list[str]:
        return [] if self.aim.exam is None else [plain(each) for each in self.aim.exam.broken]


def checked_recipe(arguments: Namespace) -> Recipe:
    from calibration.recipe import Recipe
    from calibration.refusals import check_place, check_recipe

    recipe = Recipe(
        arguments.vision,
        arguments.decoder,
        arguments.head,
        arguments.block,
        arguments.observer,
        arguments.method,
        arguments.smooth,
        arguments.embedding,
        arguments.kv,
    )
    check_recipe(recipe)
    check_place(arguments.bundle, arguments.out)
    return recipe


def checked_budget(arguments: Namespace) -> Budget:
    from calibration.aim import Aim
    from calibration.budget import Budget

    budget = Budget(arguments.budget_kl, arguments.budget_accuracy, arguments.budget_mib)
    if arguments.eval is None:
        Aim(budget)
    return budget


def check_given_samples(arguments: Namespace, recipe: Recipe, budget: Budget) -> None:
    from calibration.refusals import check_idle, check_samples

    if arguments.images is None and arguments.samples is None:
        check_samples(recipe, samples_from_arguments(arguments), budget)
        why, fix = "it is about samples, and none are given", "leave it out, or give --images or --samples"
        check_idle(f"--limit {arguments.limit}", arguments.limit is not None, why, fix)


def aim_from_arguments(arguments: Namespace, budget: Budget) -> Aim:
    from calibration.aim import Aim
    from calibration.evaluation import exam_from_file

    return Aim(budget, exam_from_file(arguments.eval) if arguments.eval is not None else None)


def samples_from_arguments(arguments: Namespace) -> SampleSet:
    from calibration.samples import SampleSet, samples_from_file, samples_from_folder

    limit = SAMPLE_LIMIT if arguments.limit is None else arguments.limit
    if arguments.images is not None:
        return samples_from_folder(arguments.images, limit)
    if arguments.samples is not None:
        return samples_from_file(arguments.samples, limit)
    return SampleSet(())


def json_from_done(done: Done) -> dict[str, object]:
    return {
        "out": plain(str(done.out)),
        "bytes_before": size_of(done.before),
        "bytes": size_of(done.after),
        "precision": {entry.role: entry.precision for entry in done.after.graphs},
        "samples": len(done.samples.samples),
        "broken": [plain(each) for each in done.samples.broken],
        "broken_questions": done.broken_questions,
        "quality": done.after.quality,
        "accuracy": done.accuracy,
        "seconds": round(done.seconds, 2),
    }


def show(done: Done, terminal: Terminal) -> None:
    for broken in (*done.samples.broken, *done.broken_questions):
        terminal.line(f"left out: {plain(broken)}")
    for role, precision in {entry.role: entry.precision for entry in done.after.graphs}.items():
        terminal.line(f"{role:12} {precision}")
    sizes = f"{size_of(done.before) / (1 << 20):.1f} MiB → {size_of(done.after) / (1 << 20):.1f} MiB"
    terminal.line(f"{done.out}: {sizes}, calibrated with {len(done.samples.samples)} samples")
    if done.after.quality is not None:
        terminal.line(quality_in_words(done.after.quality))
    if (found := done.accuracy) is not None:
        shares = f"{found['before']:.1%} before, {found['after']:.1%} after"
        terminal.line(f"of {found['questions']} questions answered right: {shares}")
    terminal.line(f"next: edge-vl run {done.out} --image photo.jpg --prompt 'What is this?'")


def plain(text: str) -> str:
    """Names of files may be bytes that are no text."""
    return text.encode("utf-8", "replace").decode()


def size_of(manifest: Manifest) -> int:
    return sum(entry.bytes for entry in manifest.files)
