"""A stage may begin with the weights of a checkpoint."""

from __future__ import annotations

import io
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from demo.command import Stop
from demo.sizes import DEMO_HYBRID
from demo.train.__main__ import exit_status
from demo.train.model import Learner
from demo.train.recipe import HYBRID
from demo.train.start import Start
from demo.train.training import TOKENIZER, Trainer
from demo.trained_checkpoint import write_trained_checkpoint
from demo.walkthrough import CHECKPOINT
from edge_runtime.errors import EdgeVLError
from edge_runtime.progress_line import ProgressLine
from tests.demo.train.small import SPEC, small_recipe


def checkpoint_in(folder: Path, tokenizer: str) -> Path:
    learner = Learner(SPEC, 11)
    out = folder / "start"
    write_trained_checkpoint(SPEC, {role: learner.state_of(role) for role in SPEC.roles}, tokenizer, out)
    return out


@pytest.fixture(scope="module")
def words() -> str:
    """Those of the shipped model: this recipe made them, and they are made again for every folder that has none."""
    return (CHECKPOINT / TOKENIZER).read_text(encoding="utf-8")


def trainer_from(start: Path, folder: Path, words: str) -> Trainer:
    (folder / TOKENIZER).write_text(words, encoding="utf-8")
    return Trainer(small_recipe(2), folder, lambda *_: None, lambda _: None, start=Start(start))


def test_the_stage_begins_with_its_weights_and_needs_no_states(tmp_path: Path, words: str) -> None:
    start = checkpoint_in(tmp_path, words)
    trainer = trainer_from(start, tmp_path, words)
    begun = trainer.learner_before("again")
    drawn = Learner(SPEC, 11)
    for role in SPEC.roles:
        for name, value in drawn.state_of(role).items():
            assert torch.equal(begun.state_of(role)[name], value.half().float()), (role, name)
    trainer.run(trainer.recipe.stages[-1])
    finished = trainer.finished()
    assert torch.equal(
        finished.state_of("vision_high")["position"], drawn.state_of("vision_high")["position"].half().float()
    )
    assert trainer.finish().name == "hybrid-short-checkpoint"


def test_its_words_are_those_of_the_checkpoint(tmp_path: Path) -> None:
    """Training texts may have changed since it was made."""
    trainer = Trainer(HYBRID, tmp_path, lambda *_: None, lambda _: None, start=Start(CHECKPOINT))
    assert (tmp_path / TOKENIZER).read_bytes() == (CHECKPOINT / "tokenizer.json").read_bytes()
    assert trainer.learner_before("shades").state_of("decoder").keys()


def test_states_of_another_beginning_are_refused(tmp_path: Path, words: str) -> None:
    start = checkpoint_in(tmp_path, words)
    trainer_from(start, tmp_path, words).run("places")
    weights = start / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-2] ^= 1
    weights.write_bytes(data)
    with pytest.raises(EdgeVLError) as caught:
        trainer_from(start, tmp_path, words).run("places")
    assert caught.value.code == "EVL-TRAIN-STATE"


def test_a_checkpoint_with_other_words_is_refused(tmp_path: Path, words: str) -> None:
    other = json.loads(words)
    pairs = sorted(other["model"]["vocab"].items(), key=lambda pair: pair[1])
    (one, first), (two, second) = pairs[300], pairs[301]
    other["model"]["vocab"] |= {one: second, two: first}
    start = checkpoint_in(tmp_path, json.dumps(other))
    with pytest.raises(EdgeVLError) as caught:
        trainer_from(start, tmp_path, words)
    assert (caught.value.code, "words" in caught.value.why) == ("EVL-TRAIN-START", True)


def test_a_checkpoint_of_other_sizes_is_refused(tmp_path: Path, words: str) -> None:
    start = Start(checkpoint_in(tmp_path, words))
    with pytest.raises(EdgeVLError) as caught:
        start.weights(DEMO_HYBRID)
    assert caught.value.code == "EVL-TRAIN-START"


@pytest.mark.parametrize("stages", [[], ["again", "places"]])
def test_the_command_wants_one_stage_to_begin(
    stages: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = [part for stage in stages for part in ("--stage", stage)]
    words = [str(tmp_path / "out"), "--from", str(tmp_path), *said]
    status = exit_status(words, ProgressLine(io.StringIO()), Stop())
    assert (status, "EVL-USAGE" in capsys.readouterr().err) == (2, True)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("--batch", "3"), "--batch needs --steps"),
        (("--save-seconds", "nan"), "--save-seconds is no time"),
        (("--save-seconds", "inf"), "--save-seconds is no time"),
        (("--steps", "0"), "a number is out of range"),
        (("--steps", "2", "--batch", "0"), "a number is out of range"),
    ],
)
def test_numbers_that_cannot_be_meant_are_refused(
    words: tuple[str, ...], what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_status([str(tmp_path / "out"), *words], ProgressLine(io.StringIO()), Stop()) == 2
    assert capsys.readouterr().err.startswith(f"what: {what}")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["file", "file/below"])
def test_what_can_be_no_folder_is_named(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("mine")
    assert exit_status([str(tmp_path / name)], ProgressLine(io.StringIO()), Stop()) == 2
    assert "cannot be the folder of a training [EVL-USAGE]" in capsys.readouterr().err
    assert (tmp_path / "file").read_text() == "mine"


def test_what_pictures_are_drawn_with_is_asked_for_before_anything_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert exit_status([str(tmp_path / "out")], ProgressLine(io.StringIO()), Stop()) == 2
    assert capsys.readouterr().err.splitlines()[-1] == "do:   pip install matplotlib"
    assert not (tmp_path / "out").exists()


def test_of_a_stage_only_a_share_may_be_kept(tmp_path: Path, words: str) -> None:
    start = Start(checkpoint_in(tmp_path, words))
    (tmp_path / TOKENIZER).write_text(words, encoding="utf-8")
    recipe = small_recipe(2)
    last = replace(recipe.plans[-1], share=0.25)
    recipe = replace(recipe, plans=(*recipe.plans[:-1], last))
    trainer = Trainer(recipe, tmp_path, lambda *_: None, lambda _: None, start=start)
    trainer.run(last.name)
    begun, ended, finished = trainer.learner_before(last.name), trainer.learnt(last.name), trainer.finished()
    for role, tensors in ended.items():
        before, after = begun.state_of(role), finished.state_of(role)
        for name, tensor in tensors.items():
            torch.testing.assert_close(after[name], 0.75 * before[name] + 0.25 * tensor)
    assert not torch.equal(finished.state_of("decoder")["norm.weight"], ended["decoder"]["norm.weight"])
