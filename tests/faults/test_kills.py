"""An export that is killed, stopped or doubled leaves the old state or the new one, never one between."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path

import pytest

from edge_runtime.errors import EdgeVLError
from tests.faults.forge import Forge, Forked
from tests.faults.state import assert_absent_or_whole, assert_nothing_else, digest_of, names_in

Export = tuple[str, Path, Path, str, str]


def export_to(checkpoint: Path, out: Path) -> Export:
    return "export", checkpoint, out, "--precision", "fp32"


@pytest.fixture(scope="module")
def usual_s(forge: Forge, checkpoint: Path, bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> float:
    """How long an export takes that nobody disturbs."""
    out = tmp_path_factory.mktemp("usual") / "out"
    ended = forge.ran(*export_to(checkpoint, out))
    assert ended.status == 0, ended
    assert digest_of(out) == digest_of(bundle)  # or nothing below would prove anything
    return ended.seconds


def killed_after(process: Forked, delay_s: float) -> bool:
    """Whether the kill came before the end."""
    time.sleep(delay_s)
    process.send(signal.SIGKILL)
    return process.ended().status == -signal.SIGKILL


def kill_often(
    count: int, forge: Forge, checkpoint: Path, bundle: Path, folder: Path, usual_s: float
) -> None:
    rng, out, left = random.Random(count), folder / "out", 0
    for number in range(count):
        moment = (number + rng.random()) / count * usual_s
        is_killed = killed_after(forge.start(*export_to(checkpoint, out)), moment)
        assert_absent_or_whole(out, bundle)
        assert is_killed or out.exists()
        stages = [name for name in names_in(folder) if name.startswith(".")]
        assert len(stages) <= 1, "the leftovers of the export before were not swept"
        left += len(stages)
        if out.exists():
            out.rename(folder / f"kept{number}")
    assert left > 0, "no kill met an export at work"
    ended = forge.ran(*export_to(checkpoint, out))
    assert ended.status == 0, ended
    assert_absent_or_whole(out, bundle)
    assert [name for name in names_in(folder) if not name.startswith("kept")] == ["out"]


def test_kills_at_random_moments_leave_nothing_or_everything(
    forge: Forge, checkpoint: Path, bundle: Path, tmp_path: Path, usual_s: float
) -> None:
    kill_often(6, forge, checkpoint, bundle, tmp_path, usual_s)


@pytest.mark.slow
def test_forty_kills_at_random_moments_leave_nothing_or_everything(
    forge: Forge, checkpoint: Path, bundle: Path, tmp_path: Path, usual_s: float
) -> None:
    kill_often(40, forge, checkpoint, bundle, tmp_path, usual_s)


def test_at_every_single_step_the_output_is_absent_or_whole(
    forge: Forge, checkpoint: Path, bundle: Path, tmp_path: Path
) -> None:
    """The steps are what the interpreter reports before it asks the system for anything."""
    log, out = tmp_path / "log", tmp_path / "there" / "out"
    out.parent.mkdir()
    ended = forge.ran(*export_to(checkpoint, out), watched=[str(out), str(bundle), str(log)])
    assert ended.status == 0, ended
    states = log.read_text().split()
    assert set(states) == {"absent", "whole"}
    assert states == sorted(states)
    assert states.count("absent") > 50
    assert states.count("whole") > 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_at_a_random_moment_of_an_export_leaves_nothing(
    number: signal.Signals, forge: Forge, checkpoint: Path, bundle: Path, tmp_path: Path, usual_s: float
) -> None:
    rng, out = random.Random(number), tmp_path / "out"
    for turn in range(2):
        process = forge.start(*export_to(checkpoint, out), default_signals=True)
        time.sleep(0.1 + rng.uniform(0, 0.8) * usual_s)
        process.send(number)
        ended = process.ended()
        if ended.status in (0, -number):  # it was done before the signal came
            assert_absent_or_whole(out, bundle)
            out.rename(tmp_path.parent / f"{tmp_path.name}-done-{turn}")
        else:
            assert ended.status == 128 + number, ended
            assert ended.err.splitlines()[-1].endswith("; nothing was left half-written"), ended.err
            assert "Traceback" not in ended.err
        assert_nothing_else(tmp_path)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_at_a_random_moment_of_an_answer_is_one_line(
    number: signal.Signals, forge: Forge, bundle: Path, tmp_path: Path
) -> None:
    rng, before, stopped = random.Random(number), digest_of(bundle), 0
    for _ in range(6):
        process = forge.start(
            "run", bundle, "--prompt", "hi", "--max-tokens", "1500", "--repetition-penalty", "1.1",
            default_signals=True, home=str(tmp_path),
        )  # fmt: skip
        time.sleep(0.05 + rng.uniform(0, 0.4))
        process.send(number)
        ended = process.ended()
        assert ended.status in (0, 128 + number, -number), ended  # the last where all was said already
        assert "Traceback" not in ended.err
        if ended.status > 0:
            stopped += 1
            assert len(ended.err.splitlines()) == 1, ended.err
    assert stopped > 0
    assert digest_of(bundle) == before
    assert_nothing_else(tmp_path)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("moment", ["signal_at_the_end", "signal_when_all_is_done"])
def test_a_signal_after_the_last_word_is_no_traceback(
    moment: str, number: signal.Signals, forge: Forge, bundle: Path
) -> None:
    """It ends the process as any other would be ended, or it comes too late to change how the command ended."""
    arguments = ("run", bundle, "--prompt", "hi", "--max-tokens", "2")
    ended = forge.ran(*arguments, default_signals=True, **{moment: int(number)})
    assert (ended.status, ended.err) == (-number if moment == "signal_at_the_end" else 0, ""), ended
    assert ended.out.endswith("\n")


def test_of_two_exports_to_one_output_exactly_one_wins(
    forge: Forge, checkpoint: Path, bundle: Path, tmp_path: Path
) -> None:
    both = [forge.start(*export_to(checkpoint, tmp_path / "out")) for _ in range(2)]
    winner, loser = sorted((process.ended() for process in both), key=lambda ended: ended.status)
    assert (winner.status, loser.status) == (0, 2), (winner, loser)
    assert loser.code() in ("EVL-OUT-BUSY", "EVL-OUT-EXISTS")
    assert [line.split(":")[0] for line in loser.err.splitlines()[-3:]] == ["what", "why", "do"]
    assert_absent_or_whole(tmp_path / "out", bundle)
    assert_nothing_else(tmp_path, "out")


def test_the_check_would_notice_a_half_made_bundle(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(EdgeVLError, match="EVL-BUNDLE-MISSING"):
        assert_absent_or_whole(tmp_path / "out", bundle)
