"""A recipe small enough to be trained within a test, with every part and stage of the real one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from demo.data.scene import Scene
from demo.data.split import rng_from_name
from demo.sizes import DecoderSize, spec_from_parts
from demo.train.batch import Batch, batch_from
from demo.train.conversation import Writer
from demo.train.recipe import HYBRID, Recipe, shortened
from demo.train.state import State
from demo.train.training import Trainer
from edge_runtime.spec import SamSpec, SiglipSpec

SPEC = spec_from_parts(
    SiglipSpec(32, 2, 32, 1, 2, 64, 1e-6, "gelu"),
    SamSpec(192, 12, 24, 2, 2, 48, 8, (1,), 8, (16, 32), 64, 1e-6),
    DecoderSize(48, 2, 2, 96, 1152, 2048),
    (1149, 1150, 1151),
)


def small_recipe(steps: int, batch: int = 2) -> Recipe:
    return replace(shortened(HYBRID, steps, batch), spec=SPEC, whole=SPEC)


def trainer_in(folder: Path, steps: int, batch: int = 2, save_seconds: float = 60.0) -> Trainer:
    folder.mkdir(exist_ok=True)
    return Trainer(small_recipe(steps, batch), folder, lambda *_: None, lambda _: None, save_seconds)


def batch_of(writer: Writer, scenes: list[Scene]) -> Batch:
    """The first of them without its picture, and then all with their marks, though no pixels."""
    conversations = [writer.about_words(scenes[0], rng_from_name(1), 5)]
    conversations += [writer.about_picture(scene, rng_from_name(2), 30, False) for scene in scenes]
    return replace(batch_from(conversations, [], False), marks=tuple(scene.marks for scene in scenes))


def tensors_of(state: State) -> dict[str, Tensor]:
    return {
        f"{module}.{name}": tensor
        for module, tensors in state["modules"].items()
        for name, tensor in tensors.items()
    }


def assert_same(one: State, other: State) -> None:
    left, right = tensors_of(one), tensors_of(other)
    assert left.keys() == right.keys()
    assert all(torch.equal(left[name], right[name]) for name in left)
    assert one["log"] == other["log"]
