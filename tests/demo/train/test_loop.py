"""Stages: they learn, they stop and go on, and the same recipe gives the same weights."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from demo.train.loop import rate_at
from demo.train.recipe import HYBRID, LOW, shortened
from demo.train.state import locked
from demo.train.training import TOKENIZER, Trainer
from edge_runtime.errors import EdgeVLError
from tests.demo.train.small import SPEC, assert_same, small_recipe, trainer_in


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


class School:
    """Teaches each stage once, for all tests that begin after it."""

    def __init__(self, home: Path, tokenizer: Path, steps: int, batch: int) -> None:
        self._home, self._steps, self._batch = home, steps, batch
        shutil.copy(tokenizer, home / TOKENIZER)

    def prepare(self, folder: Path, stage: str) -> None:
        """Puts the states of the stages before into `folder`."""
        for need in small_recipe(1).needs.get(stage, ()):
            taught = trainer_in(self._home, self._steps, self._batch)
            if not taught.path(need).exists():
                taught.run(need)
            shutil.copy(taught.path(need), folder)


@pytest.fixture(scope="module")
def long_school(tmp_path_factory: pytest.TempPathFactory, tokenizer: Path) -> School:
    return School(tmp_path_factory.mktemp("long"), tokenizer, 24, 4)


@pytest.fixture(scope="module")
def short_school(tmp_path_factory: pytest.TempPathFactory, tokenizer: Path) -> School:
    return School(tmp_path_factory.mktemp("short"), tokenizer, 4, 2)


@pytest.mark.parametrize("stage", small_recipe(1).stages)
def test_a_few_steps_make_the_loss_fall(stage: str, folder: Path, long_school: School) -> None:
    long_school.prepare(folder, stage)
    trainer = trainer_in(folder, 24, 4)
    task = trainer.task(stage, trainer.recipe.plan(stage), trainer.learner_before(stage))
    before = float(task.loss(0)[0].detach())
    state = trainer.run(stage)
    for name, module in task.modules().items():
        module.load_state_dict(state["modules"][name])
    after = float(task.loss(0)[0].detach())
    assert after < 0.97 * before


@pytest.mark.parametrize("stage", small_recipe(1).stages)
def test_a_stage_that_was_stopped_goes_on_to_the_same_weights(
    stage: str, folder: Path, short_school: School
) -> None:
    short_school.prepare(folder, stage)
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


def test_two_runs_do_not_teach_the_same_stage(folder: Path) -> None:
    trainer = trainer_in(folder, 2)
    with locked(trainer.path("text")), pytest.raises(EdgeVLError) as caught:
        trainer.run("text")
    assert caught.value.code == "EVL-TRAIN-BUSY"


def test_recipes_share_what_is_taught_apart(folder: Path) -> None:
    hybrid = trainer_in(folder, 2)
    low = Trainer(shortened(replace(LOW, whole=SPEC), 2, 2), folder, lambda *_: None, lambda _: None)
    for stage in ("siglip", "text"):
        assert hybrid.path(stage) == low.path(stage)
        assert hybrid.mark(stage) == low.mark(stage)
    assert hybrid.path("stage3") != low.path("stage3")
    assert hybrid.mark("stage3") != low.mark("stage3")


def test_only_those_learn_whose_stage_it_is(folder: Path) -> None:
    trainer = trainer_in(folder, 2)
    for stage in ("siglip", "sam", "text"):
        trainer.run(stage)
    before = trainer.learner_before("stage1")
    for stage in trainer.recipe.stages[3:]:
        trainer.run(stage)
    after = trainer.finished()
    assert unchanged(trainer.learner_before("stage2"), before) == {
        "vision_high",
        "vision_low",
        "embed",
        "decoder",
    }
    assert unchanged(trainer.learner_before("stage3"), before) == {"vision_high", "vision_low"}
    assert unchanged(trainer.learner_before("scenes"), trainer.learner_before("stage3")) == {"vision_high"}
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


def test_a_long_recipe_is_named_at_once() -> None:
    """Each stage needs all before it: were they named anew for each, forty would never end."""
    plans = tuple(replace(HYBRID.plans[-1], name=f"stage{number}") for number in range(40))
    names = [plan.name for plan in plans]
    recipe = replace(HYBRID, plans=plans, needs={name: tuple(names[:at]) for at, name in enumerate(names)})
    assert len({recipe.mark(name) for name in names}) == len(names)
