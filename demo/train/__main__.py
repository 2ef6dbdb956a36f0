"""Train the demo model: `python -m demo.train FOLDER`. Stop it whenever you like; the same command goes on."""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import torch

from demo.command import Parser, Stop, Stopped, status_told
from demo.train.loop import SAVE_SECONDS
from demo.train.recipe import LANGUAGE, RECIPES, Recipe, shortened
from demo.train.start import Start
from demo.train.training import Trainer
from edge_runtime.errors import EdgeVLError
from edge_runtime.progress_line import ProgressLine

SHORT_BATCH = 4


def parser_of_command() -> Parser:
    parser = Parser(prog="python -m demo.train", description=__doc__, allow_abbrev=False)
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="states, logs and pictures are kept here")
    parser.add_argument("--recipe", choices=list(RECIPES), default="hybrid")
    parser.add_argument(
        "--stage", action="append", help="only this one (may be said again); its inputs must be there"
    )
    parser.add_argument(
        "--from",
        dest="start",
        metavar="CHECKPOINT",
        type=Path,
        help="with one --stage: it begins with these weights, and what was trained before need not be there",
    )
    parser.add_argument("--language", type=float, default=LANGUAGE, help="final share of language in stage 2")
    parser.add_argument("--threads", type=int, default=1, help="other numbers give other roundings")
    parser.add_argument(
        "--save-seconds", type=float, default=SAVE_SECONDS, help="at least, between saved states"
    )
    parser.add_argument("--steps", type=int, help="a short run: so many steps of every stage")
    parser.add_argument(
        "--batch", type=int, help=f"with --steps: questions a step; {SHORT_BATCH} unless told"
    )
    return parser


def recipe_from_arguments(arguments: argparse.Namespace) -> Recipe:
    recipe = RECIPES[arguments.recipe]
    if not 0 <= arguments.language <= 1:
        why = f"got {arguments.language}, wanted 0 to 1"
        raise EdgeVLError("EVL-USAGE", "--language is no share", why, "give a share such as 0.7")
    if any(
        number is not None and number < 1 for number in (arguments.threads, arguments.batch, arguments.steps)
    ):
        why = "--threads, --batch and --steps start at 1"
        raise EdgeVLError("EVL-USAGE", "a number is out of range", why, "give larger ones")
    if not 0 <= arguments.save_seconds < math.inf:
        why = f"got {arguments.save_seconds}, wanted 0 or more"
        raise EdgeVLError("EVL-USAGE", "--save-seconds is no time", why, "give a number of seconds")
    if arguments.batch is not None and arguments.steps is None:
        why = "the stages of a whole training have batches of their own"
        raise EdgeVLError("EVL-USAGE", "--batch needs --steps", why, "leave --batch out, or add --steps")
    for stage in arguments.stage or ():
        if stage not in recipe.stages:
            why = f"{recipe.name} has {', '.join(recipe.stages)}"
            raise EdgeVLError("EVL-USAGE", f"there is no stage {stage!r}", why, "name one of these")
    if arguments.start is not None and len(arguments.stage or ()) != 1:
        why = "a checkpoint is where one stage begins"
        raise EdgeVLError(
            "EVL-USAGE", "--from needs one --stage", why, "name the stage, --stage places for example"
        )
    recipe = replace(recipe, language=arguments.language)
    return shortened(recipe, arguments.steps, arguments.batch or SHORT_BATCH) if arguments.steps else recipe


def check_libraries() -> None:
    """Before anything is trained, not at the end of the first stage."""
    if find_spec("matplotlib") is None:
        why = "every stage ends with a picture of its losses"
        raise EdgeVLError("EVL-USAGE", "matplotlib is not installed here", why, "pip install matplotlib")


def make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        what, why = f"{folder} cannot be the folder of a training", f"{fault.strerror}"
        raise EdgeVLError("EVL-USAGE", what, why, "name a folder, or one that can be made") from fault


def train(arguments: argparse.Namespace, trainer: Trainer) -> None:
    for stage in arguments.stage or trainer.recipe.stages:
        trainer.run(stage)
    if trainer.recipe.stages[-1] in (arguments.stage or trainer.recipe.stages):
        trainer.finish()


def exit_status(words: Sequence[str], progress: ProgressLine, stop: Stop) -> int:
    started = time.monotonic()

    def watched(label: str, done: int, total: int) -> None:
        stop.check()
        progress(label, done, total)

    def tell(text: str) -> None:
        progress.clear()
        print(f"{time.monotonic() - started:7.0f} s  {text}", flush=True)

    try:
        arguments = parser_of_command().parse_args(words)
        recipe = recipe_from_arguments(arguments)
        torch.set_num_threads(arguments.threads)
        check_libraries()
        make_folder(arguments.folder)
        start = None if arguments.start is None else Start(arguments.start)
        train(arguments, Trainer(recipe, arguments.folder, watched, tell, arguments.save_seconds, start))
    except EdgeVLError as error:
        progress.clear()
        return status_told(error)
    except Stopped:
        progress.clear()
        print("stopped; the same command goes on from the last saved state", file=sys.stderr)
        return 128 + stop.number
    return 0


def main() -> int:
    stop = Stop()
    stop.install()
    return exit_status(sys.argv[1:], ProgressLine(sys.stderr), stop)


if __name__ == "__main__":
    sys.exit(main())
