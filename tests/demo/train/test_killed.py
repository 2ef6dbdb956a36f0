"""A training that is killed, again and again, ends as one that nobody disturbed."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from demo.walkthrough import CHECKPOINT
from tests.demo.train.small import assert_same, small_recipe

ROOT = Path(__file__).parents[3]
MADE = "hybrid-short-checkpoint"
PATIENCE_S = 900
KILLED = ("--steps", "3", "--batch", "1", "--save-seconds", "0")


def killed_again_and_again(folder: Path, *words: str, more: int = 2) -> int:
    """Each life sees so many more states written; then it ends without a word. How many did."""
    kills = 0
    while True:
        process = command(folder, *words)
        states = more + sum(1 for _ in folder.glob("*.state"))
        while process.poll() is None and sum(1 for _ in folder.glob("*.state")) < states:
            time.sleep(0.02)
        if process.poll() is not None:
            assert process.returncode == 0
            return kills
        process.kill()
        process.communicate()
        kills += 1


def test_the_command_killed_at_any_moment_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    """Every kind of stage; `make slow` has them all."""
    stages = small_recipe(1).stages[:5]
    words = [*KILLED, *(word for stage in stages for word in ("--stage", stage))]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert command(whole, *words).wait(PATIENCE_S) == 0
    assert killed_again_and_again(killed, *words) >= 2
    found = sorted(path.name for path in whole.glob("*.state"))
    assert len(found) == len(stages)
    for name in found:
        assert_same(*(torch.load(folder / name, weights_only=True) for folder in (whole, killed)))


def test_a_last_stage_that_was_killed_goes_on_to_the_same_checkpoint(tmp_path: Path) -> None:
    """With all that is asked and pointed at besides the answers."""
    words = [*KILLED, "--stage", small_recipe(1).stages[-1], "--from", str(CHECKPOINT)]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert command(whole, *words).wait(PATIENCE_S) == 0
    assert killed_again_and_again(killed, *words, more=1) == 1
    assert_same_checkpoint(whole, killed)


def assert_same_checkpoint(whole: Path, killed: Path) -> None:
    for path in (whole / MADE).iterdir():
        assert path.read_bytes() == (killed / MADE / path.name).read_bytes(), path.name


@pytest.mark.slow
def test_the_command_killed_at_any_moment_goes_on_to_the_same_checkpoint(tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert command(whole, *KILLED).wait(PATIENCE_S) == 0
    assert killed_again_and_again(killed, *KILLED) >= 3
    assert_same_checkpoint(whole, killed)


def command(folder: Path, *words: str) -> subprocess.Popen[bytes]:
    arguments = [sys.executable, "-m", "demo.train", str(folder), *words]
    return subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
