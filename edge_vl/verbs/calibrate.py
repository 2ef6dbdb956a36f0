"""`edge-vl calibrate`."""

from __future__ import annotations

import os
import time
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from edge_runtime.bundle import Bundle
from edge_vl.signals import Stopped
from edge_vl.verbs.calibrated import Done, json_from_done, plain, report_in, show
from edge_vl.verbs.folders import refuse_checkpoint
from edge_vl.verbs.workbench import workbench

if TYPE_CHECKING:
    from calibration.aim import Aim
    from calibration.budget import Budget
    from calibration.recipe import Recipe
    from calibration.samples import SampleSet
    from edge_vl.terminal import Terminal

SAMPLE_LIMIT = 128


def run(arguments: Namespace, terminal: Terminal) -> int:
    start = time.monotonic()
    refuse_checkpoint(arguments.bundle)
    with workbench("calibrate", "calibrate"):
        from calibration.calibrate import calibrate_bundle
    # What is wrong with the command line alone is said before a bundle is hashed and pictures are opened.
    recipe, budget = checked_recipe(arguments), checked_budget(arguments)
    check_given_samples(arguments, recipe, budget)
    bundle = Bundle.open(arguments.bundle, arguments.trust_bundle, terminal.progress)
    samples, aim = samples_from_arguments(arguments), aim_from_arguments(arguments, budget)
    threads = len(os.sched_getaffinity(0))
    out: Path = arguments.out
    with resumable(out, terminal):
        manifest = calibrate_bundle(bundle, out, recipe, samples, threads, terminal.progress, aim)
    spent_s = time.monotonic() - start
    done = Done(out, bundle.manifest, manifest, samples, aim.exam, spent_s, report_in(out))
    if arguments.json:
        terminal.json(json_from_done(done))
    else:
        show(done, terminal)
    return 0


@contextmanager
def resumable(out: Path, terminal: Terminal) -> Iterator[None]:
    """Whoever stops the work is told where what was found so far lies."""
    from calibration.desk import Desk

    try:
        yield
    except BaseException as fault:
        stopped, desk = terminal.signals.stop_behind(fault), Desk(out, "").folder
        if stopped is None or not desk.is_dir():
            raise
        kept = f"the same command goes on, with what was found so far in {plain(str(desk))}"
        raise Stopped(stopped.number, kept) from fault


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
    from calibration.refusals import check_idle, check_ranking, check_samples

    are_given = arguments.images is not None or arguments.samples is not None
    if arguments.rank:
        check_ranking(recipe, are_given, budget)
    if not are_given:
        check_samples(recipe, samples_from_arguments(arguments), budget)
        why, fix = "it is about samples, and none are given", "leave it out, or give --images or --samples"
        check_idle(f"--limit {arguments.limit}", arguments.limit is not None, why, fix)


def aim_from_arguments(arguments: Namespace, budget: Budget) -> Aim:
    from calibration.aim import Aim
    from calibration.evaluation import exam_from_file

    exam = exam_from_file(arguments.eval) if arguments.eval is not None else None
    return Aim(budget, exam, arguments.rank)


def samples_from_arguments(arguments: Namespace) -> SampleSet:
    from calibration.samples import SampleSet, samples_from_file, samples_from_folder

    limit = SAMPLE_LIMIT if arguments.limit is None else arguments.limit
    if arguments.images is not None:
        return samples_from_folder(arguments.images, limit)
    if arguments.samples is not None:
        return samples_from_file(arguments.samples, limit)
    return SampleSet(())
