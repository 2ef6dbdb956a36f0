"""The pictures that ship with the demo model, none of which it was trained on: `python -m demo.samples`."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from PIL import Image

from demo.data.generator import scene_of
from demo.data.scene import Task

FOLDER = Path(__file__).parent / "samples"
LIST = "samples.json"
SEED = 2026
# One picture of a kind each, and what is asked about it.
CHOSEN: tuple[tuple[str, tuple[Task, ...]], ...] = (
    ("shapes", ("colour", "count", "box")),
    ("codes", ("code", "small_print")),
    ("meters", ("meter",)),
    ("receipts", ("receipt",)),
    ("charts", ("chart",)),
)


@dataclass(frozen=True)
class Sample:
    """A question about a picture in the folder, and its answer."""

    picture: str
    task: str
    question: str
    answer: str


def samples() -> tuple[Sample, ...]:
    """Those that ship."""
    found = json.loads((FOLDER / LIST).read_text(encoding="utf-8"))
    return tuple(Sample(**each) for each in found)


def drawn_samples() -> tuple[list[Sample], dict[str, Image.Image]]:
    """The same, made anew: the first held-out scene of each kind that has all the tasks."""
    found: list[Sample] = []
    pictures: dict[str, Image.Image] = {}
    for kind, tasks in CHOSEN:
        index = 0
        while not set(tasks) <= {each.task for each in scene_of(SEED, "held-out", index, (kind,)).questions}:
            index += 1
        scene = scene_of(SEED, "held-out", index, (kind,))
        assert scene.picture is not None
        pictures[f"{kind}.png"] = scene.picture
        for task in tasks:
            # Of several, the one that asks for most.
            asked = [each for each in scene.questions if each.task == task]
            question = max(asked, key=lambda each: len(each.answer))
            found.append(Sample(f"{kind}.png", task, question.text, question.answer))
    return found, pictures


def main() -> int:
    found, pictures = drawn_samples()
    FOLDER.mkdir(exist_ok=True)
    for name, picture in pictures.items():
        picture.save(FOLDER / name)
    text = json.dumps([asdict(each) for each in found], indent=1, ensure_ascii=False)
    (FOLDER / LIST).write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
