"""What the tests of every kind of scene share: many scenes of all sets, and questions by their pattern."""

from __future__ import annotations

import re
from collections.abc import Mapping

from demo.data.generator import MAKERS
from demo.data.scene import Box, Scene
from demo.data.split import Split, rng_from_name

SPLITS: tuple[Split, ...] = ("train", "validation", "held-out")
COUNT = 120  # scenes of each set
Scenes = Mapping[Split, list[Scene]]


def scenes_of(kind: str) -> Scenes:
    return {
        split: [MAKERS[kind](rng_from_name(7, split, i), split) for i in range(COUNT)] for split in SPLITS
    }


def every(scenes: Scenes) -> list[Scene]:
    return [scene for some in scenes.values() for scene in some]


def answers(scene: Scene, pattern: str) -> list[tuple[str, str]]:
    """What the pattern caught in the questions that match it, and their answers."""
    found = [(re.fullmatch(pattern, question.text), question.answer) for question in scene.questions]
    return [(match[1] if match.groups() else "", answer) for match, answer in found if match]


def middle(box: Box) -> tuple[float, float]:
    return ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
