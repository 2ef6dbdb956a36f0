"""Engines tried beside ONNX Runtime: which are right, which are fast, and what becomes of the others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from edge_runtime.backends.backend import Floats
from edge_runtime.dialects import Precision
from edge_runtime.engines.collection import Search
from edge_runtime.engines.exam import Answers
from edge_runtime.engines.exam_child import Question
from edge_runtime.engines.jury import Jury, NoAnswerError, Side
from edge_runtime.engines.shelf import Shelf
from edge_runtime.engines.trial import Candidate, RoleTrial, Trial, subject_of, trial_in, write_trial
from edge_runtime.errors import MachineFault
from edge_runtime.spec import Role
from tests.edge_runtime.bundle_samples import ROLES
from tests.edge_runtime.engines.engine_samples import CONTEXT, bundle_with, key_for, put_all, put_towers
from tests.edge_runtime.engines.test_key import PLACE
from tests.edge_runtime.engines.test_shelf import put

SAID = np.array([3.0, -4.0, 12.0], dtype=np.float32)
REFERENCE = Answers((SAID,), 10.0)
RIGHT, SLOW = Answers((SAID * np.float32(1.001),), 2.0), Answers((SAID,), 11.0)
WRONG = Answers((-SAID,), 1.0)
BROKEN = Answers((np.array([3, np.nan, 12], dtype=np.float32),), 1.0)
CRASH = NoAnswerError("it was ended by SIGSEGV")
Reply = Answers | NoAnswerError


@dataclass
class Witness:
    """Answers as it was told to, and notes what it was asked. Engines of a bundle are asked by the bundle's name."""

    engines: dict[tuple[str, Role], Reply] = field(default_factory=dict)
    references: dict[tuple[str, Role], Reply] = field(default_factory=dict)
    questions: list[Question] = field(default_factory=list)

    def __call__(self, question: Question) -> Answers:
        self.questions.append(question)
        said, usual = (self.references, REFERENCE) if question.engine is None else (self.engines, RIGHT)
        reply = said.get((Path(question.bundle).name, question.role), usual)
        if isinstance(reply, NoAnswerError):
            raise reply
        return reply


@pytest.fixture
def tried(tmp_path: Path) -> Callable[..., Trial]:
    """A trial of the engines of a bundle, and of those of a second one that stand in."""

    def trial(witness: Witness, *others: Precision) -> Trial:
        first = side_below(tmp_path, "first", "int8" if others else "fp16")
        stand_ins = [side_below(tmp_path, "other", each, is_fallback=True) for each in others]
        subject = subject_of(first.bundle, "trt10", CONTEXT, PLACE)
        return Jury(subject, (first, *stand_ins), witness).trial("2026-01-31")

    return trial


def side_below(folder: Path, name: str, precision: Precision, is_fallback: bool = False) -> Side:
    """A bundle and a shelf of its own. What stands in has another decoder and another adaptor, and the same tower."""
    changed: tuple[Role, ...] = ("adaptor", "decoder") if is_fallback else ()
    bundle = bundle_with(folder / name, precision=precision, changed=changed)
    shelf = Shelf(folder / f"{name}-engines")
    shelf.make()
    put_all(bundle, shelf)
    return Side(bundle, Search(bundle, "trt10", PLACE).found([shelf]), is_fallback)


def of(trial: Trial, role: Role) -> RoleTrial:
    (found,) = (each for each in trial.roles if each.role == role)
    return found


def only_candidate(trial: Trial, role: Role) -> Candidate:
    (found,) = of(trial, role).candidates
    return found


def test_engines_that_agree_and_are_faster_win_every_role(tried: Callable[..., Trial]) -> None:
    trial = tried(Witness())
    assert [each.role for each in trial.roles] == list(ROLES)
    for role in ROLES:
        candidate = only_candidate(trial, role)
        assert (candidate.precision, candidate.fault, candidate.ms) == ("fp16", "", 2.0)
        assert candidate.sqnr_db == pytest.approx(60, abs=0.01)
        assert of(trial, role).winner is candidate
        assert of(trial, role).reference_ms == 10.0
    assert trial.words.endswith("every engine agrees and is faster")
    assert (trial.date, trial.subject.context) == ("2026-01-31", CONTEXT)
    assert trial.reference.startswith("ONNX Runtime ")
    assert trial.reference.endswith(" on the CPU")


def test_candidates_are_the_folders_of_the_engines_that_were_asked(
    tried: Callable[..., Trial], tmp_path: Path
) -> None:
    trial = tried(Witness())
    lying = {each.name for each in (tmp_path / "first-engines").iterdir()}
    assert {folder for role in ROLES for folder in only_candidate(trial, role).engines} == lying
    assert [folder.partition("-")[0] for folder in only_candidate(trial, "decoder").engines] == [
        "decoder.decode",
        "decoder.prefill",
    ]


def test_candidates_tell_which_plans_were_asked_even_where_they_crash(
    tried: Callable[..., Trial], tmp_path: Path
) -> None:
    trial = tried(Witness({("first", "decoder"): CRASH}))
    receipts = list(Shelf(tmp_path / "first-engines").receipts())
    assert trial.plans == {(each.key.folder, each.plan_sha256) for each in receipts}
    assert len(only_candidate(trial, "decoder").plans) == 2


def test_a_wrong_engine_is_of_no_use_however_fast(tried: Callable[..., Trial]) -> None:
    trial = tried(Witness({("first", "adaptor"): WRONG}))
    candidate = only_candidate(trial, "adaptor")
    assert candidate.fault == "it is -6.02 dB like the reference, 35 are wanted"
    assert (candidate.sqnr_db, candidate.ms) == (-6.02, 1.0)
    assert of(trial, "adaptor").winner is None
    assert trial.words.endswith(f"adaptor is left to ONNX Runtime: {candidate.fault}")


@pytest.mark.parametrize(
    ("reply", "fault"),
    [(CRASH, "it was ended by SIGSEGV"), (BROKEN, "some of what it says is NaN or infinite")],
)
def test_an_engine_without_an_answer_takes_nothing_down_with_it(
    tried: Callable[..., Trial], reply: Reply, fault: str
) -> None:
    trial = tried(Witness({("first", "vision_low"): reply}))
    candidate = only_candidate(trial, "vision_low")
    assert (candidate.fault, candidate.sqnr_db, candidate.ms) == (fault, None, None)
    assert of(trial, "decoder").winner is not None


@pytest.mark.parametrize("said", [(SAID[:2],), (SAID, SAID), ()])
def test_an_engine_that_says_something_of_another_shape_is_wrong(
    tried: Callable[..., Trial], said: tuple[Floats, ...]
) -> None:
    trial = tried(Witness({("first", "adaptor"): Answers(said, 1.0)}))
    assert only_candidate(trial, "adaptor").fault == "it is -200 dB like the reference, 35 are wanted"


def test_an_engine_that_is_right_and_slow_leaves_its_role_to_onnx_runtime(
    tried: Callable[..., Trial],
) -> None:
    trial = tried(Witness({("first", "decoder"): SLOW}))
    assert only_candidate(trial, "decoder").fault == ""
    assert of(trial, "decoder").winner is None
    assert trial.words.endswith("decoder is left to ONNX Runtime: it is not faster")


@pytest.mark.parametrize("reply", [CRASH, BROKEN])
def test_a_reference_without_an_answer_ends_the_trial(tried: Callable[..., Trial], reply: Reply) -> None:
    with pytest.raises(MachineFault) as caught:
        tried(Witness(references={("first", "decoder"): reply}))
    error = caught.value
    assert (error.code, error.exit_status) == ("EVL-ENGINE-TRIAL", 3)
    assert error.what == "decoder cannot be tried: ONNX Runtime gives no answer to compare with"


def test_engines_that_stand_in_are_tried_too_beside_a_reference_of_their_own(
    tried: Callable[..., Trial],
) -> None:
    other = Answers((SAID * np.float32(-5),), 12.0)
    witness = Witness(
        {("first", "adaptor"): WRONG, ("other", "adaptor"): other},
        {("other", "adaptor"): other},
    )
    first, second = of(tried(witness, "fp16"), "adaptor").candidates
    assert (first.precision, first.is_fallback, first.sqnr_db) == ("int8", False, -6.02)
    assert (second.precision, second.is_fallback, second.sqnr_db) == ("fp16", True, 200)


def test_the_time_to_beat_is_that_of_the_bundle_itself(tried: Callable[..., Trial]) -> None:
    witness = Witness(
        {("first", "adaptor"): WRONG, ("other", "adaptor"): SLOW},
        {("other", "adaptor"): Answers((SAID,), 100.0)},
    )
    found = of(tried(witness, "fp16"), "adaptor")
    assert (found.reference_ms, found.winner) == (10.0, None)


def test_an_engine_that_stands_in_wins_where_the_first_is_wrong(tried: Callable[..., Trial]) -> None:
    trial = tried(Witness({("first", "decoder"): CRASH}), "fp16")
    winner = of(trial, "decoder").winner
    assert winner is of(trial, "decoder").candidates[1]
    assert trial.words.endswith("decoder is answered by the fp16 engine instead: it was ended by SIGSEGV")


def test_a_role_whose_engine_is_the_same_on_both_sides_is_tried_once(tmp_path: Path, shelf: Shelf) -> None:
    one = bundle_with(tmp_path / "one", precision="int8")
    other = bundle_with(tmp_path / "other", changed=("decoder",))
    for bundle in (one, other):
        put(shelf, key_for(bundle, "decoder", CONTEXT, 32))
    put_towers(one, shelf)
    sides = [Side(each, Search(each, "trt10", PLACE).found([shelf]), each is other) for each in (one, other)]
    witness = Witness()
    trial = Jury(subject_of(one, "trt10", CONTEXT, PLACE), tuple(sides), witness).trial("2026-01-31")
    assert {each.role: len(each.candidates) for each in trial.roles} == {
        "vision_low": 1,
        "adaptor": 1,
        "decoder": 2,
    }
    assert [each.role for each in witness.questions].count("adaptor") == 2  # the engine and its reference


def test_every_question_is_about_the_engines_and_what_they_hold(
    tried: Callable[..., Trial], tmp_path: Path
) -> None:
    witness = Witness()
    tried(witness)
    references = [each for each in witness.questions if each.engine is None]
    engines = [each for each in witness.questions if each.engine is not None]
    assert [each.role for each in references] == [each.role for each in engines] == list(ROLES)
    assert {(each.dialect, bool(each.plans)) for each in references} == {("ort", False)}
    assert {(each.dialect, each.engine) for each in engines} == {("trt10", "tensorrt")}
    assert {(each.context, each.bundle) for each in witness.questions} == {(CONTEXT, str(tmp_path / "first"))}
    assert [sorted(each.plans) for each in engines] == [
        ["vision_low"],
        ["adaptor"],
        ["decoder.decode", "decoder.prefill"],
    ]


def test_a_bundle_without_graphs_for_onnx_runtime_is_asked_in_the_engines_dialect(
    tmp_path: Path, shelf: Shelf
) -> None:
    bundle = bundle_with(tmp_path / "bundle", ("trt10",))
    put_all(bundle, shelf)
    side, witness = Side(bundle, Search(bundle, "trt10", PLACE).found([shelf])), Witness()
    Jury(subject_of(bundle, "trt10", CONTEXT, PLACE), (side,), witness).trial("2026-01-31")
    assert {each.dialect for each in witness.questions} == {"trt10"}


def test_whoever_waits_hears_which_role_is_tried(tmp_path: Path) -> None:
    side = side_below(tmp_path, "first", "fp16")
    heard: list[tuple[str, int, int]] = []
    subject = subject_of(side.bundle, "trt10", CONTEXT, PLACE)
    Jury(subject, (side,), Witness(), lambda *step: heard.append(step)).trial("2026-01-31")
    assert heard == [
        ("trying vision_low", 0, 3),
        ("trying adaptor", 1, 3),
        ("trying decoder", 2, 3),
        ("trying", 3, 3),
    ]


def test_a_trial_with_every_kind_of_end_can_be_kept(tried: Callable[..., Trial], shelf: Shelf) -> None:
    trial = tried(Witness({("first", "decoder"): CRASH, ("first", "adaptor"): WRONG}), "fp16")
    write_trial(shelf.folder, trial)
    assert trial_in(trial.subject, [shelf.folder]) == trial
