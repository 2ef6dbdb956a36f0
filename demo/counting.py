"""What the demo model counts wrong: colours, kinds or all there is, on pairs of colours that training knows and on those held out:
`python -m demo.counting BUNDLE --out OUT.json`."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

from demo.circumstances import circumstances
from demo.data.scene import Question
from demo.data.shape import COLOURS
from demo.data.shape_questions import counted_word
from demo.data.shapes import counted_scene
from demo.data.split import Split, rng_from_name
from demo.evaluate import recipe_of
from demo.score import outcome_of
from edge_runtime.assistant import Assistant
from edge_runtime.loading import load
from edge_runtime.publish import staged_file
from edge_runtime.record import bytes_from_json
from edge_runtime.request import Request

SPLITS: tuple[Split, ...] = ("train", "held-out")
SEED = 23  # no picture that was trained on is drawn from it
REQUEST = Request(max_tokens=8)


def counted_in(question: Question) -> str:
    """A colour, a kind, or all there is."""
    word = counted_word(question.text)
    return "colours" if word in COLOURS else "kinds" if word else "all shapes"


def tallied(assistant: Assistant, split: Split, pictures: int) -> dict[str, object]:
    asked, right, too_many = Counter[str](), Counter[str](), Counter[str]()
    for number in range(pictures):
        scene = counted_scene(rng_from_name(SEED, split, "counting", number), split)
        for question in scene.questions:
            name = counted_in(question)
            said = assistant.ask(question.text, scene.picture, request=REQUEST).text
            outcome = outcome_of(question.task, question.text, question.answer, said)
            asked[name] += 1
            right[name] += outcome.is_right
            too_many[name] += said.strip().isdecimal() and int(said) > int(question.answer)
    return {
        name: {
            "asked": count,
            "right": round(right[name] / count, 4),
            "said_too_many": round(too_many[name] / count, 4),
        }
        for name, count in sorted(asked.items())
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--pictures", type=int, default=200, help="of each split")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    with staged_file(arguments.out) as out, load(arguments.bundle, is_trusted=True) as assistant:
        report = {
            "kind": "counts, by what is counted and whose pairs of colours there are",
            "bundle": arguments.bundle.name,
            "recipe": recipe_of(assistant.bundle),
            "pictures": arguments.pictures,
            "splits": {split: tallied(assistant, split, arguments.pictures) for split in SPLITS},
            **circumstances(
                f"python -m demo.counting {arguments.bundle.name} --pictures {arguments.pictures}"
            ),
        }
        out.write_bytes(bytes_from_json(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
