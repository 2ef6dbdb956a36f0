"""Mixes that are written for a moment and asked."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Mapping
from pathlib import Path

import pytest

from calibration.agreement import agreement_of
from calibration.budget import Budget, Measured, chosen_mix
from calibration.decision import Float, Int8
from calibration.desk import Desk
from calibration.evaluation import Evaluation, Exam, Question, Verdict
from calibration.ladder import Mix, fixed_bytes
from calibration.plan import Plan
from calibration.rehearsal import FOLDER, Rehearsal, Sitting, bundle_in_one_dialect
from calibration.sensitivity import sensitivity_of
from calibration.trial import Trial
from edge_runtime.bundle import Bundle
from edge_runtime.progress import silent
from tests.calibration.rehearsed import Rehearsed
from tests.proof.subject import session_folder


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Rehearsed:
    return Rehearsed.below(session_folder(tmp_path_factory), tmp_path_factory.mktemp("rehearsal"))


def rehearsal(
    subject: Rehearsed, desk: Desk, written: list[Mix], sitting: Sitting | None = None
) -> Rehearsal:
    def write(mix: Mix, folder: Path) -> Bundle:
        assert list(folder.iterdir()) == []
        written.append(mix)
        return subject.written(mix, folder)

    return Rehearsal(write, "ort", subject.answers, sitting, 1, desk, silent)


def test_a_mix_costs_what_its_bundle_costs_and_leaves_nothing_behind(
    subject: Rehearsed, tmp_path: Path
) -> None:
    desk, mix = Desk(tmp_path / "out", "key"), subject.mix("decoder")
    wanted = agreement_of(subject.answers, subject.written(mix, tmp_path / "in"), "ort", 1, silent).kl
    assert rehearsal(subject, desk, [])(mix) == Measured(wanted)
    assert {each.suffix for each in desk.folder.iterdir()} == {".npz"}


def test_what_was_measured_is_not_measured_again_whatever_the_reasons_say(
    subject: Rehearsed, tmp_path: Path
) -> None:
    desk, written = Desk(tmp_path / "out", "key"), list[Mix]()
    ask = rehearsal(subject, desk, written)
    said: Mapping[str, Float | Int8] = {"head": Int8(), "blocks.0.q": Float("one reason")}
    again: Mapping[str, Float | Int8] = {"blocks.0.q": Float("another"), "head": Int8()}
    assert ask({"decoder": said}) == ask({"decoder": again})
    assert len(written) == 1
    ask({"decoder": {"head": Float()}})
    assert len(written) == 2


def test_what_a_killed_run_left_is_cleared_away(subject: Rehearsed, tmp_path: Path) -> None:
    desk = Desk(tmp_path / "out", "key")
    (desk.folder / FOLDER).mkdir(parents=True)
    (desk.folder / FOLDER / "half.data").write_bytes(b"x")
    rehearsal(subject, desk, [])({"decoder": {"head": Int8()}})
    assert not (desk.folder / FOLDER).exists()


def test_a_signal_while_it_is_cleared_away_comes_afterwards(
    subject: Rehearsed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk, remove, removed = Desk(tmp_path / "out", "key"), shutil.rmtree, list[Path]()

    def interrupted(folder: Path, ignore_errors: bool) -> None:
        if folder.exists():
            signal.raise_signal(signal.SIGINT)
            removed.append(folder)
        remove(folder, ignore_errors)

    monkeypatch.setattr(shutil, "rmtree", interrupted)
    with pytest.raises(KeyboardInterrupt):
        rehearsal(subject, desk, [])({"decoder": {"head": Int8()}})
    assert removed == [desk.folder / FOLDER] and not removed[0].exists()


def test_accuracy_is_lost_against_what_the_float_bundle_had(subject: Rehearsed, tmp_path: Path) -> None:
    exam = Exam(tuple(Question(each, "no") for each in subject.samples.samples))  # which it never says
    before = Evaluation((Verdict("0.png", "?", "no", "no"), Verdict("1.png", "?", "no", "yes")))
    desk, written = Desk(tmp_path / "out", "key"), list[Mix]()
    ask = rehearsal(subject, desk, written, Sitting(exam, before))
    measured = ask({"decoder": {"head": Int8()}})
    assert measured.lost_points == 50
    assert ask({"decoder": {"head": Int8()}}) == measured and len(written) == 1


def test_a_budget_is_kept_by_the_bundle_that_is_written(subject: Rehearsed, tmp_path: Path) -> None:
    desk, mix = Desk(tmp_path / "out", "key"), subject.mix("decoder")
    trial = Trial(subject.bundle, "ort", subject.answers, Plan(mix), threads=1, limit=1)
    ladders = sensitivity_of(trial, mix, subject.matrices, desk, silent).ladders(subject.matrices)
    fixed = fixed_bytes(subject.bundle, subject.matrices, ladders)
    written = list[Mix]()
    measure = rehearsal(subject, desk, written)
    whole = measure(mix).kl
    found = chosen_mix(mix, ladders, Budget(kl=whole / 3), fixed, measure, silent)
    kept = subject.written(found.mix, tmp_path / "kept")
    assert agreement_of(subject.answers, kept, "ort", 1, silent).kl <= whole / 3
    every = sum(entry.bytes for entry in subject.bundle.manifest.files)
    assert sum(entry.bytes for entry in kept.manifest.files) < every
    assert found.lifts > 0


def test_a_bundle_in_one_dialect_keeps_all_that_this_needs(subject: Rehearsed) -> None:
    assert bundle_in_one_dialect(subject.bundle, "ort") == subject.bundle
