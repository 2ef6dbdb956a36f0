"""`edge-vl calibrate`."""

from __future__ import annotations

import os
import time
from argparse import Namespace
from typing import TYPE_CHECKING

from edge_runtime.bundle import Bundle
from edge_vl.verbs.folders import refuse_checkpoint
from edge_vl.verbs.verify import quality_in_words
from edge_vl.verbs.workbench import workbench

if TYPE_CHECKING:
    from calibration.samples import SampleSet
    from edge_runtime.manifest import Manifest
    from edge_vl.terminal import Terminal


def run(arguments: Namespace, terminal: Terminal) -> int:
    start = time.monotonic()
    refuse_checkpoint(arguments.bundle)
    with workbench("calibrate"):
        from calibration.aim import Aim
        from calibration.budget import Budget
        from calibration.calibrate import calibrate_bundle
        from calibration.evaluation import exam_from_file
        from calibration.recipe import Recipe
    budget = Budget(arguments.budget_kl, arguments.budget_accuracy, arguments.budget_mib)
    bundle = Bundle.open(arguments.bundle, arguments.trust_bundle, terminal.progress)
    samples = samples_from_arguments(arguments)
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
    aim = Aim(budget, exam_from_file(arguments.eval) if arguments.eval is not None else None)
    threads = len(os.sched_getaffinity(0))
    manifest = calibrate_bundle(bundle, arguments.out, recipe, samples, threads, terminal.progress, aim)
    if arguments.json:
        terminal.json(json_from_result(arguments, bundle.manifest, manifest, samples, start))
    else:
        show(arguments, bundle.manifest, manifest, samples, terminal)
    return 0


def samples_from_arguments(arguments: Namespace) -> SampleSet:
    from calibration.samples import SampleSet, samples_from_file, samples_from_folder

    if arguments.images is not None:
        return samples_from_folder(arguments.images, arguments.limit)
    if arguments.samples is not None:
        return samples_from_file(arguments.samples, arguments.limit)
    return SampleSet(())


def json_from_result(
    arguments: Namespace, before: Manifest, after: Manifest, samples: SampleSet, start: float
) -> dict[str, object]:
    return {
        "out": str(arguments.out),
        "bytes_before": size_of(before),
        "bytes": size_of(after),
        "precision": {entry.role: entry.precision for entry in after.graphs},
        "samples": len(samples.samples),
        "broken": list(samples.broken),
        "quality": after.quality,
        "seconds": round(time.monotonic() - start, 2),
    }


def show(
    arguments: Namespace, before: Manifest, after: Manifest, samples: SampleSet, terminal: Terminal
) -> None:
    for broken in samples.broken:
        terminal.line(f"left out: {broken}")
    for role, precision in {entry.role: entry.precision for entry in after.graphs}.items():
        terminal.line(f"{role:12} {precision}")
    sizes = f"{size_of(before) / (1 << 20):.1f} MiB → {size_of(after) / (1 << 20):.1f} MiB"
    terminal.line(f"{arguments.out}: {sizes}, calibrated with {len(samples.samples)} samples")
    if after.quality is not None:
        terminal.line(quality_in_words(after.quality))
    terminal.line(f"next: edge-vl run {arguments.out} --image photo.jpg --prompt 'What is this?'")


def size_of(manifest: Manifest) -> int:
    return sum(entry.bytes for entry in manifest.files)
