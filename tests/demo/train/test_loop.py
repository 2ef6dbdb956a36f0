"""Stages: they learn, they stop and go on, and the same recipe gives the same weights."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from torch import Tensor

from demo.train.loop import rate_at
from demo.train.state import State
from demo.train.training import TOKENIZER
from edge_runtime.errors import EdgeVLError
from tests.demo.train.small import trainer_in


class StoppedError(Exception):
    pass


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    trainer_in(folder, 1)
    return folder / TOKENIZER


@pytest.fixture
def folder(tmp_path: Path, tokenizer: Path) -> Path:
    shutil.copy(tokenizer, tmp_path / TOKENIZER)
    return tmp_path


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


@pytest.mark.parametrize("stage", ["siglip", "sam", "text"])
def test_a_few_steps_make_the_loss_fall(stage: str, folder: Path) -> None:
    log = trainer_in(folder, 24, 4).run(stage)["log"]
    losses = [figures["loss"] for _, figures in log]
    assert sum(losses[-4:]) < 0.9 * sum(losses[:4])


@pytest.mark.parametrize("stage", ["siglip", "sam", "text"])
def test_a_stage_that_was_stopped_goes_on_to_the_same_weights(stage: str, folder: Path) -> None:
    whole = trainer_in(folder, 4).run(stage)
    trainer_in(folder, 4).path(stage).unlink()
    stopped = trainer_in(folder, 4, save_seconds=0.0)

    def stop(_: str, done: int, __: int) -> None:
        if done == 3:
            raise StoppedError

    stopped.progress = stop
    with pytest.raises(StoppedError):
        stopped.run(stage)
    assert torch.load(stopped.path(stage), weights_only=True)["step"] == 2
    assert_same(whole, trainer_in(folder, 4).run(stage))


def test_only_those_learn_whose_stage_it_is(folder: Path) -> None:
    trainer = trainer_in(folder, 2)
    for stage in ("siglip", "sam", "text"):
        trainer.run(stage)
    before = trainer.learner_before("stage1")
    for stage in ("stage1", "stage2", "stage3"):
        trainer.run(stage)
    after = trainer.finished()
    assert unchanged(trainer.learner_before("stage2"), before) == {
        "vision_high",
        "vision_low",
        "embed",
        "decoder",
    }
    assert unchanged(trainer.learner_before("stage3"), before) == {"vision_high", "vision_low"}
    assert unchanged(after, before) == {"vision_high"}


def unchanged(one: torch.nn.Module, other: torch.nn.Module) -> set[str]:
    left, right = dict(one.named_parameters()), dict(other.named_parameters())
    changed = {name.split(".")[1] for name in left if not torch.equal(left[name], right[name])}
    return {name.split(".")[1] for name in left} - changed


def test_a_stage_wants_those_before_it_finished(folder: Path) -> None:
    with pytest.raises(EdgeVLError) as caught:
        trainer_in(folder, 2).run("stage1")
    assert caught.value.code == "EVL-TRAIN-ORDER"


def test_a_state_of_another_recipe_is_refused(folder: Path) -> None:
    trainer_in(folder, 2).run("text")
    with pytest.raises(EdgeVLError) as caught:
        trainer_in(folder, 3).run("text")
    assert caught.value.code == "EVL-TRAIN-STATE"


def test_a_damaged_state_is_named(folder: Path) -> None:
    trainer = trainer_in(folder, 2)
    trainer.path("text").write_bytes(b"PK not a state")
    with pytest.raises(EdgeVLError) as caught:
        trainer.run("text")
    assert caught.value.code == "EVL-TRAIN-STATE"


def test_the_rate_rises_and_then_falls() -> None:
    rates = [rate_at(step, 100) for step in range(100)]
    top = rates.index(max(rates))
    assert rates[:top] == sorted(rates[:top])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert rates[0] > 0
    assert rates[-1] < 0.1
