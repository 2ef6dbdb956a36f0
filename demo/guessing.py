"""How far guessing goes without a look: the commonest answers, known from training or from other held-out pictures, given to
the held-out questions: `python -m demo.guessing --limit 6000 --out OUT.json`."""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from demo.circumstances import circumstances
from demo.command import status_told
from demo.data.generator import PICTURED, scene_of
from demo.data.scene import Question
from demo.data.split import Split
from demo.questions import Selection, held_out_questions, out_of_range
from demo.score import Score, outcome_of, score_from_outcomes
from edge_runtime.bench.machine import Machine, Versions
from edge_runtime.errors import EdgeVLError
from edge_runtime.publish import staged_file
from edge_runtime.record import bytes_from_json

SEEDS: dict[Split, int] = {
    "train": 7,
    "held-out": 1,
}  # the recipe's own; one that the questions are not drawn from
OPEN = re.compile(r"[A-Z0-9][A-Z0-9.:-]*")  # names, codes and numbers: other pictures have others
EITHER = re.compile(r", (?:the )?([^,]+?) or (?:the )?[^,]+\?$")


@dataclass(frozen=True)
class Guesses:
    """What came of it: shares of right guesses of somebody who knows training, and of one who knows how answers of the
    held-out set are spread."""

    kind: str
    questions: str
    seed: int
    scenes: int  # of each kind that answers were counted in
    training: Score
    held_out: Score
    machine: Machine
    versions: Versions
    command: str
    date: str


class Guesser:
    """Says the commonest answer to the same question; else to one like it with other names; else of its task."""

    def __init__(self, known: Iterable[Question]) -> None:
        self._counts: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        for question in known:
            for key in keys_of(question):
                self._counts[key][question.answer] += 1

    def guess(self, question: Question) -> str:
        same, *wider = keys_of(question)
        if same not in self._counts and (either := EITHER.search(question.text)):
            return either[1]
        found = next((self._counts[key] for key in (same, *wider) if key in self._counts), Counter([""]))
        return found.most_common(1)[0][0]


def keys_of(question: Question) -> tuple[tuple[str, str], ...]:
    return ("same", question.text), ("alike", OPEN.sub("*", question.text)), ("task", question.task)


def known_questions(split: Split, scenes: int) -> Iterable[Question]:
    for kind in PICTURED:
        for index in range(scenes):
            yield from scene_of(SEEDS[split], split, index, (kind,)).questions


def score_of(guesser: Guesser, questions: Iterable[Question]) -> Score:
    return score_from_outcomes(
        outcome_of(each.task, each.text, each.answer, guesser.guess(each)) for each in questions
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m demo.guessing", description=__doc__)
    parser.add_argument("--limit", type=int, default=6000, help="held-out questions")
    parser.add_argument("--scenes", type=int, default=400, help="of each kind, whose answers are counted")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    try:
        selection = Selection(limit=arguments.limit)
        if arguments.scenes < 1:
            raise out_of_range("--scenes", arguments.scenes, 1)
        with staged_file(arguments.out) as out:
            questions = [
                question
                for _, _, question in held_out_questions(arguments.limit, selection.split, selection.seed)
            ]
            scores = {
                split: score_of(Guesser(known_questions(split, arguments.scenes)), questions)
                for split in SEEDS
            }
            report = {
                "kind": "guesses without a look, by the commonest answers",
                "questions": selection.split,
                "seed": selection.seed,
                "scenes": arguments.scenes,
                "training": asdict(scores["train"]),
                "held_out": asdict(scores["held-out"]),
                **circumstances(
                    f"python -m demo.guessing --limit {arguments.limit} --scenes {arguments.scenes}"
                ),
            }
            out.write_bytes(bytes_from_json(report))
    except EdgeVLError as error:
        return status_told(error)
    return 0


if __name__ == "__main__":
    sys.exit(main())
