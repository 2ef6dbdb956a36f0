"""Pictures of the demo model's training set for `edge-vl calibrate --samples`: `python -m demo.calibration_set FOLDER`."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from demo.command import Parser, status_told
from demo.data.generator import PICTURED, scene_of
from demo.data.scene import Question, Task
from demo.score import BOX_TASK
from edge_runtime.errors import EdgeVLError
from edge_runtime.publish import staged_folder

SEED = 7  # of the pictures the demo model learnt from
LISTING = "samples.jsonl"
MOST = 100_000
# As much as all other tasks together: a box is the longest answer, and the one whose tokens are nearest to each other.
BOX_WEIGHT = 14


def write_samples(folder: Path, count: int) -> Path:
    """`count` pictures in `folder`, which must not exist, and the list of what is asked about them."""
    if not 1 <= count <= MOST:
        what, why = f"{count} pictures cannot be drawn", f"there are 1 to {MOST}"
        raise EdgeVLError("EVL-USAGE", what, why, "give --count one of these")
    with staged_folder(folder) as made:
        lines = []
        for index, (picture, question) in enumerate(drawn_samples(count)):
            picture.save(made / f"{index}.png")
            lines.append(json.dumps({"image": f"{index}.png", "prompt": question.text}))
        (made / LISTING).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / LISTING


def drawn_samples(count: int) -> Iterator[tuple[Image.Image, Question]]:
    """One question a picture; the same ones come every time, fewer are the first.

    A task's share is its weight: a maker's turns grow with the weight of the tasks it has shown.
    """
    asked, turns = Counter[Task](), Counter[str]()
    shown: dict[str, set[Task]] = {maker: set() for maker in PICTURED}
    for index in range(count):
        maker = min(PICTURED, key=lambda name: turns[name] / max(1, sum(map(weight_of, shown[name]))))
        scene = scene_of(SEED, "train", index, (maker,))
        assert scene.picture is not None, "only dialogue has none"
        turns[maker] += 1
        shown[maker] |= {question.task for question in scene.questions}
        rarest = min(scene.questions, key=lambda question: asked[question.task] / weight_of(question.task))
        asked[rarest.task] += 1
        yield scene.picture, rarest


def weight_of(task: Task) -> int:
    return BOX_WEIGHT if task == BOX_TASK else 1


def parser_of_command() -> argparse.ArgumentParser:
    parser = Parser(prog="python -m demo.calibration_set", description=__doc__)
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="to make; must not exist")
    parser.add_argument("--count", type=int, default=64, metavar="N", help="pictures (default: 64)")
    return parser


def main() -> int:
    try:
        arguments = parser_of_command().parse_args()
        write_samples(arguments.folder, arguments.count)
    except EdgeVLError as error:
        return status_told(error)
    return 0


if __name__ == "__main__":
    sys.exit(main())
