"""Where colours are mixed up when they are counted: in the towers, among a picture's tokens, or on the question's way:
`python -m demo.mixing CHECKPOINT --out OUT.json`."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from demo.circumstances import circumstances
from demo.counting import SEED, SPLITS
from demo.data.scene import Scene
from demo.data.shape import COLOURS, colours_key
from demo.data.shape_questions import counted_word
from demo.data.shapes import counted_scene
from demo.data.split import Split, rng_from_name, split_of
from demo.sizes import DEMO_HYBRID
from demo.train.batch import Answer, Batch, batch_from, pixels_of, stacked
from demo.train.conversation import Writer
from demo.train.distraction import looks_of
from demo.train.model import Learner
from demo.train.start import Start
from edge_runtime.preprocess import pixels_from_picture
from edge_runtime.prompt import PromptFormat
from edge_runtime.publish import staged_file
from edge_runtime.record import bytes_from_json
from edge_runtime.tokenizer import Tokenizer

WAYS = (
    "as it is",
    "each colour's tokens from a picture without the others",
    "shapes' tokens that see no shapes of other colours",
    "questions that see no shapes of other colours",
)


@dataclass(frozen=True)
class Subject:
    """A picture with shapes, and questions that count a colour that is there."""

    scene: Scene
    batch: Batch

    @cached_property
    def colours(self) -> frozenset[str]:
        return frozenset(mark.label.split()[0] for mark in self.scene.marks)

    @cached_property
    def first(self) -> int:
        """The picture's first token."""
        return int(self.batch.is_image[0].nonzero()[0])

    @cached_property
    def tokens(self) -> Mapping[str, Tensor]:
        """Of each colour, those that show shapes of no other."""
        looks = looks_of(self.scene.marks)
        return {
            name: torch.tensor([token for token, names in looks.items() if names & self.colours == {name}])
            for name in sorted(self.colours)
        }

    def others(self, colour: str) -> Tensor:
        """Tokens of the other colours' shapes."""
        return torch.cat(
            [
                torch.zeros(0, dtype=torch.int64),
                *(each for name, each in self.tokens.items() if name != colour),
            ]
        )

    def alone(self, colour: str) -> Image.Image:
        """The picture, with paper where shapes of other colours are."""
        pixels = np.array(self.scene.picture)
        is_paper = np.ones(pixels.shape[:2], bool)
        spans = [
            (
                mark.label.split()[0],
                slice(int(mark.box[1]), int(mark.box[3])),
                slice(int(mark.box[0]), int(mark.box[2])),
            )
            for mark in self.scene.marks
        ]
        for _, rows, columns in spans:
            is_paper[rows, columns] = False
        paper = np.median(pixels[is_paper], axis=0)
        for name, rows, columns in spans:
            if name != colour:
                pixels[rows, columns] = paper
        return Image.fromarray(pixels)

    def has_met(self, colour: str) -> bool:
        """Whether training shows it beside each of the others."""
        return all(
            split_of("colours", colours_key(colour, other)) == "train" for other in self.colours - {colour}
        )


def subjects(writer: Writer, split: Split, pictures: int) -> Iterator[Subject]:
    for number in range(pictures):
        scene = counted_scene(rng_from_name(SEED, split, "counting", number), split)
        there = {mark.label.split()[0] for mark in scene.marks}
        asked = [
            each for each in scene.questions if counted_word(each.text) in COLOURS and each.answer != "0"
        ]
        if asked:
            assert {counted_word(each.text) for each in asked} <= there
            talk = writer.joined([writer.said([each], "", True) for each in asked], asked, 0.0)
            yield Subject(scene, batch_from([talk], [pixels_of(scene, DEMO_HYBRID.preprocess)], True))


class Mixing:
    """One model, whose counts are looked at."""

    def __init__(self, learner: Learner) -> None:
        self.learner = learner

    @torch.no_grad()
    def right(self, subject: Subject, way: str) -> list[tuple[Answer, bool]]:
        """Each answer, and whether it is the model's."""
        batch = subject.batch
        assert batch.low is not None
        seen = self.learner.rows_from_pixels(batch.low, batch.high)
        if way == WAYS[1]:
            seen = self.composed(subject, seen)
        embeds = self.learner.embeds(batch.ids, batch.is_image, seen)
        said = self.learner.logits(embeds, batch, self.unseen(subject, way))[0].argmax(-1) == batch.targets[0]
        return [(answer, bool(said[answer.start : answer.stop].all())) for answer in batch.answers]

    def composed(self, subject: Subject, seen: Tensor) -> Tensor:
        made = seen.clone()
        for colour, tokens in subject.tokens.items():
            low, high = stacked([pixels_from_picture(subject.alone(colour), DEMO_HYBRID.preprocess)], True)
            assert low is not None
            made[0, tokens] = self.learner.rows_from_pixels(low, high)[0, tokens]
        return made

    def unseen(self, subject: Subject, way: str) -> Tensor:
        batch, first = subject.batch, subject.first
        length = batch.ids.shape[1]
        unseen = torch.zeros(1, length, length, dtype=torch.bool)
        if way == WAYS[2]:
            for colour, tokens in subject.tokens.items():
                unseen[0, (first + tokens)[:, None], (first + subject.others(colour))[None]] = True
        if way == WAYS[3]:
            behind = torch.arange(length) > int(batch.is_image[0].nonzero()[-1])
            for answer in batch.answers:
                branch = batch.branches[0, batch.rows[0, answer.start]]
                asking = ((batch.branches[0] == branch) & behind).nonzero().flatten()
                others = subject.others(counted_word(answer.question.text))
                unseen[0, asking[:, None], (first + others)[None]] = True
        return unseen


def tallied(mixing: Mixing, writer: Writer, split: Split, pictures: int) -> dict[str, object]:
    asked, right = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for subject in subjects(writer, split, pictures):
        for way in WAYS:
            for answer, is_right in mixing.right(subject, way):
                has_met = subject.has_met(counted_word(answer.question.text))
                key = ("beside colours it met" if has_met else "beside one it never met", way)
                asked[key] += 1
                right[key] += is_right
    return {
        company: {
            "asked": asked[company, WAYS[0]],
            "right": {way: round(right[company, way] / asked[company, way], 4) for way in WAYS},
        }
        for company in sorted({company for company, _ in asked})
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--pictures", type=int, default=100, help="of each split")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    learner = Learner(DEMO_HYBRID, 0)
    start = Start(arguments.checkpoint)
    for role, tensors in start.weights(DEMO_HYBRID).items():
        learner.take(role, tensors)
    tokenizer = Tokenizer.open(arguments.checkpoint / "tokenizer.json")
    writer = Writer(PromptFormat(tokenizer, DEMO_HYBRID.prompt, DEMO_HYBRID.image_tokens))
    with staged_file(arguments.out) as out:
        report = {
            "kind": "counts of a colour that is there, right of those asked, with what could mix colours up taken away",
            "checkpoint": arguments.checkpoint.name,
            "weights": start.digest,
            "pictures": arguments.pictures,
            "splits": {
                split: tallied(Mixing(learner), writer, split, arguments.pictures) for split in SPLITS
            },
            **circumstances(
                f"python -m demo.mixing {arguments.checkpoint.name} --pictures {arguments.pictures}"
            ),
        }
        out.write_bytes(bytes_from_json(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
