"""A calibration that is killed or stopped, in whatever it is at, ends with the same bytes when it is asked for again."""

from __future__ import annotations

import json
import random
import signal
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from tests.faults.forge import Forge, Forked
from tests.faults.state import assert_absent_or_whole, assert_nothing_else, digest_of, names_in

DESK = ".out.desk"
# In the order in which they are laid down; what comes after the last of a kind is what the next kind needs.
KINDS = ("answer", "exam", "ranges", "cache", "awq", "alone", "mix")
SIGNALS = (signal.SIGINT, signal.SIGKILL)
PAUSE_S = 0.1  # at most, from when a piece lies there to the signal
AWQ = ("--block", "32", "--method", "awq", "--kv", "int8")
BUDGETS = ("--budget-kl", "1e-3", "--budget-accuracy", "0")


def folders_in(desk: Path) -> set[str]:
    return {path.name for path in desk.glob("*") if path.is_dir()}


@dataclass(frozen=True, eq=False)
class Work:
    """A calibration, and what it makes and lays down on the way when nobody disturbs it."""

    forge: Forge
    words: tuple[str | Path, ...]
    whole: Path
    pieces: Counter[str]
    seconds: float

    @classmethod
    def undisturbed(cls, forge: Forge, folder: Path, *words: str | Path) -> Work:
        whole, pieces = folder / "out", Counter[str]()
        process = forge.start("calibrate", forge.bundle, whole, *words)
        while is_under_way(process):
            pieces |= pieces_in(folder / DESK)
            time.sleep(0.002)
        ended = process.ended()
        assert ended.status == 0, ended
        assert_nothing_else(folder, "out")
        return cls(forge, words, whole, pieces, ended.seconds)

    def start(self, out: Path) -> Forked:
        return self.forge.start("calibrate", self.forge.bundle, out, *self.words, default_signals=True)

    def stopped(self, folder: Path, kind: str, count: int, number: int, pause_s: float) -> bool:
        """Whether the signal, which comes when so many pieces of a kind have been laid down, came before the end."""
        before, begun = names_in(folder), folders_in(folder / DESK)
        process = self.start(folder / "out")
        while is_under_way(process) and pieces_in(folder / DESK)[kind] < count:
            time.sleep(0.002)
        time.sleep(pause_s)
        process.send(number)
        ended = process.ended()
        assert_absent_or_whole(folder / "out", self.whole)
        if (folder / "out").exists():
            assert ended.status in (0, 128 + number, -number), ended  # where all was said already
            return False
        assert ended.status == (-signal.SIGKILL if number == signal.SIGKILL else 128 + number), ended
        if number != signal.SIGKILL:
            # Before it Python may warn of a file that the signal left open, since warnings are errors here.
            assert "; nothing was left half-written" in ended.err.splitlines()[-1], ended.err
            assert {*names_in(folder)} <= {DESK, *before}  # what an earlier kill left may not be swept yet
            assert folders_in(folder / DESK) <= begun
        return True

    def assert_ends_alike(self, folder: Path) -> None:
        ended = self.start(folder / "out").ended()
        assert ended.status == 0, ended
        assert digest_of(folder / "out") == digest_of(self.whole)
        assert_nothing_else(folder, "out")


def is_under_way(process: Forked) -> bool:
    """It is a zombie from its end until somebody waits for it."""
    state = Path(f"/proc/{process.pid}/stat").read_text(encoding="ascii").rpartition(") ")[2][0]
    return state != "Z"


def pieces_in(desk: Path) -> Counter[str]:
    """By kind."""
    try:
        names = names_in(desk)
    except FileNotFoundError:  # it may go at any moment
        return Counter()
    return Counter(Path(name).stem.partition("-")[0] for name in names if name.endswith(".npz"))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for index in range(2):
        Image.radial_gradient("L").resize((60 + index, 40)).save(folder / f"{index}.png")
    line = {"image": "0.png", "prompt": "What?", "answer": "A cat."}
    (folder / "exam.jsonl").write_text(json.dumps(line))
    return folder


@pytest.fixture(scope="module")
def budgeted(forge: Forge, bundle: Path, pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Work:
    assert bundle == forge.bundle
    words = (*AWQ, *BUDGETS, "--images", pictures, "--eval", pictures / "exam.jsonl")
    work = Work.undisturbed(forge, tmp_path_factory.mktemp("budgeted"), *words)
    assert all(work.pieces[kind] for kind in KINDS), work.pieces  # or something would go untested
    assert work.pieces["mix"] > 2
    return work


@pytest.fixture(scope="module")
def ranked(forge: Forge, bundle: Path, pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Work:
    assert bundle == forge.bundle
    work = Work.undisturbed(forge, tmp_path_factory.mktemp("ranked"), *AWQ, "--rank", "--images", pictures)
    assert work.pieces.keys() > {"awq", "alone"}, work.pieces
    return work


def stop_often(work: Work, folder: Path, kinds: Sequence[str], seed: int) -> None:
    """One calibration is stopped over and over, each time later, and the last time it is let go on to its end."""
    rng = random.Random(seed)
    moments = sorted((KINDS.index(kind), rng.randint(1, work.pieces[kind])) for kind in kinds)
    signals = [SIGNALS[place % len(SIGNALS)] for place in range(len(moments))]
    rng.shuffle(signals)
    stops = [
        work.stopped(folder, KINDS[kind], count, number, rng.uniform(0, PAUSE_S))
        for (kind, count), number in zip(moments, signals, strict=True)
        if not (folder / "out").exists()  # after the last piece a slow sender may be too late
    ]
    latest = max(kind for kind, _ in moments)
    assert any(stops) and sum(stops) >= sum(kind < latest for kind, _ in moments), stops
    work.assert_ends_alike(folder)


def test_a_calibration_that_is_stopped_at_random_moments_ends_with_the_same_bytes(
    budgeted: Work, tmp_path: Path
) -> None:
    """Among answers, before the cache is measured, while layers are ranked, and while a mix is asked and sits the exam."""
    stop_often(budgeted, tmp_path, ("answer", "ranges", "alone", "mix"), seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_stopped_in_whatever_it_is_at_it_ends_with_the_same_bytes(
    budgeted: Work, tmp_path: Path, seed: int
) -> None:
    stop_often(budgeted, tmp_path, random.Random(seed).choices(KINDS, k=6), seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_a_ranking_that_is_stopped_over_and_over_ends_with_the_same_bytes(
    ranked: Work, tmp_path: Path, seed: int
) -> None:
    stop_often(ranked, tmp_path, ("awq", "alone", "alone", "alone"), seed)


@pytest.mark.slow
def test_forty_stops_at_any_time_leave_nothing_or_everything(budgeted: Work, tmp_path: Path) -> None:
    rng, stops, out = random.Random(40), 0, tmp_path / "out"
    for number in range(40):
        stops += budgeted.stopped(
            tmp_path, KINDS[0], 0, rng.choice(SIGNALS), rng.uniform(0, budgeted.seconds)
        )
        if out.exists():
            out.rename(tmp_path.parent / f"{tmp_path.name}-{number}")
    assert stops > 10
    budgeted.assert_ends_alike(tmp_path)
