"""Train the demo model: `python -m demo.train FOLDER`. Stop it whenever you like; the same command goes on."""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path

import torch

from demo.train.loop import SAVE_SECONDS
from demo.train.recipe import LANGUAGE, RECIPES, shortened
from demo.train.training import Trainer
from edge_runtime.errors import EdgeVLError


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m demo.train", description=__doc__)
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="states, logs and pictures are kept here")
    parser.add_argument("--recipe", choices=list(RECIPES), default="hybrid")
    parser.add_argument(
        "--stage", action="append", help="only this one (may be said again); its inputs must be there"
    )
    parser.add_argument("--language", type=float, default=LANGUAGE, help="final share of language in stage 2")
    parser.add_argument("--threads", type=int, default=1, help="other numbers give other roundings")
    parser.add_argument("--save-seconds", type=float, default=SAVE_SECONDS, help="between saved states")
    parser.add_argument("--steps", type=int, help="a short run: so many steps of every stage")
    parser.add_argument("--batch", type=int, default=4, help="with --steps")
    return parser.parse_args()


def main() -> int:
    arguments = parsed()
    torch.set_num_threads(arguments.threads)
    started = time.monotonic()

    def tell(text: str) -> None:
        print(f"{time.monotonic() - started:7.0f} s  {text}", flush=True)

    try:
        arguments.folder.mkdir(parents=True, exist_ok=True)
        recipe = replace(RECIPES[arguments.recipe], language=arguments.language)
        if arguments.steps:
            recipe = shortened(recipe, arguments.steps, arguments.batch)
        trainer = Trainer(recipe, arguments.folder, lambda *_: None, tell, arguments.save_seconds)
        for stage in arguments.stage or recipe.stages:
            trainer.run(stage)
        if not arguments.stage:
            trainer.finish()
    except EdgeVLError as error:
        print(f"what: {error.what} [{error.code}]\nwhy:  {error.why}\ndo:   {error.fix}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        print("stopped; the same command goes on from the last saved state", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
