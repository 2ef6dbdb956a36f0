"""What a trial found is kept as it was found, and says who answers and why."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import pytest

from edge_runtime.bundle import Bundle
from edge_runtime.engines.place import Gpu, Place
from edge_runtime.engines.sealed import SEAL, sealed
from edge_runtime.engines.trial import (
    Candidate,
    RoleTrial,
    Subject,
    Trial,
    subject_of,
    trial_in,
    write_trial,
)
from edge_runtime.errors import EdgeVLError
from edge_runtime.record import bytes_from_json
from tests.edge_runtime.engines.engine_samples import bundle_with
from tests.edge_runtime.engines.test_key import PLACE

INT8 = Candidate(("adaptor-00",), "int8", False, 41.25, 2.0, "")
HALF = Candidate(("adaptor-11",), "fp16", True, 80.0, 3.0, "")
WRONG = dataclasses.replace(INT8, sqnr_db=0.1, fault="it is 0.1 dB like the reference, 20 are wanted")
CRASHED = Candidate(("adaptor-00",), "int8", False, None, None, "it was ended by SIGSEGV")
SLOW, SLOW_HALF = dataclasses.replace(INT8, ms=10.5), dataclasses.replace(HALF, ms=11.0)
SUBJECT = Subject("ab" * 32, "trt10", 64, PLACE)
REFERENCE = "ONNX Runtime 1.23.2 on the CPU"


def role_trial(*candidates: Candidate) -> RoleTrial:
    return RoleTrial("adaptor", 10.0, candidates)


def trial_of(*roles: RoleTrial, subject: Subject = SUBJECT) -> Trial:
    return Trial(subject, REFERENCE, "2026-01-31", "0.1.0", roles)


def refusal(*shelves: Path, subject: Subject = SUBJECT) -> EdgeVLError:
    with pytest.raises(EdgeVLError) as caught:
        trial_in(subject, shelves)
    return caught.value


@pytest.mark.parametrize(
    ("candidates", "winner", "words"),
    [
        ((INT8,), INT8, ""),
        ((INT8, HALF), INT8, ""),
        ((SLOW, HALF), HALF, "adaptor is answered by the fp16 engine instead: it is not faster"),
        ((WRONG, HALF), HALF, f"adaptor is answered by the fp16 engine instead: {WRONG.fault}"),
        (
            (CRASHED, HALF),
            HALF,
            "adaptor is answered by the fp16 engine instead: it was ended by SIGSEGV",
        ),
        ((WRONG,), None, f"adaptor is left to ONNX Runtime: {WRONG.fault}"),
        ((CRASHED, SLOW_HALF), None, "adaptor is left to ONNX Runtime: it was ended by SIGSEGV"),
        ((SLOW,), None, "adaptor is left to ONNX Runtime: it is not faster"),
        ((SLOW, SLOW_HALF), None, "adaptor is left to ONNX Runtime: it is not faster"),
        (
            (dataclasses.replace(INT8, ms=10.0),),
            None,
            "adaptor is left to ONNX Runtime: it is not faster",
        ),
    ],
)
def test_the_fastest_that_is_right_answers_if_it_is_faster_than_onnx_runtime(
    candidates: tuple[Candidate, ...], winner: Candidate | None, words: str
) -> None:
    found = role_trial(*candidates)
    assert (found.winner, found.words(found.winner)) == (winner, words)


def test_of_two_that_are_right_the_faster_wins_whatever_its_precision() -> None:
    assert role_trial(dataclasses.replace(INT8, ms=5.0), HALF).winner is HALF


def test_a_trial_tells_only_of_roles_that_went_otherwise() -> None:
    title = f"tried on this GPU beside {REFERENCE}: "
    assert trial_of(role_trial(INT8)).words == f"{title}every engine agrees and is faster"
    lost = [dataclasses.replace(role_trial(SLOW), role="vision_low"), role_trial(WRONG)]
    assert trial_of(role_trial(INT8), *lost).words == title + (
        "vision_low is left to ONNX Runtime: it is not faster; "
        f"adaptor is left to ONNX Runtime: {WRONG.fault}"
    )


def test_a_trial_is_read_as_it_was_written(tmp_path: Path) -> None:
    trial = trial_of(role_trial(INT8, HALF), role_trial(CRASHED))
    write_trial(tmp_path, trial)
    assert trial_in(SUBJECT, [tmp_path]) == trial
    assert os.listdir(tmp_path) == [SUBJECT.file_name]


def test_a_trial_tells_which_plans_it_was_about_and_one_of_before_does_not() -> None:
    whole = dataclasses.replace(INT8, engines=("a-0", "a-1"), plan_sha256s=("cc" * 32, "dd" * 32))
    assert trial_of(role_trial(whole, HALF), role_trial(CRASHED)).plans == {
        ("a-0", "cc" * 32),
        ("a-1", "dd" * 32),
    }


def test_a_trial_of_before_can_still_be_read(tmp_path: Path) -> None:
    write_trial(tmp_path, trial_of(role_trial(INT8)))
    path = tmp_path / SUBJECT.file_name
    told = json.loads(path.read_bytes())
    del told[SEAL], told["roles"][0]["candidates"][0]["plan_sha256s"]
    path.write_bytes(bytes_from_json(sealed(told)))
    assert trial_in(SUBJECT, [tmp_path]) == trial_of(role_trial(INT8))


def test_a_later_trial_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    for candidate in (INT8, SLOW):
        write_trial(tmp_path, trial_of(role_trial(candidate)))
    assert trial_in(SUBJECT, [tmp_path]) == trial_of(role_trial(SLOW))


def test_a_trial_is_found_on_whichever_shelf_and_the_first_counts(tmp_path: Path) -> None:
    for number, name in enumerate(("first", "second"), 1):
        (tmp_path / name).mkdir()
        write_trial(tmp_path / name, dataclasses.replace(trial_of(), date=f"2026-01-0{number}"))
    shelves = [tmp_path / name for name in ("nowhere", "first", "second")]
    assert trial_in(SUBJECT, shelves).date == "2026-01-01"
    assert trial_in(SUBJECT, shelves[::-1]).date == "2026-01-02"


@pytest.mark.parametrize(
    "change",
    [
        {"graphs_sha256": "cd" * 32},
        {"dialect": "trt"},
        {"context": 128},
        {"place": Place("tensorrt", "10.7.0", PLACE.gpu)},
        {"place": dataclasses.replace(PLACE, gpu=Gpu("Thor", "sm110", "13.0"))},
        {"place": dataclasses.replace(PLACE, gpu=Gpu("Orin", "sm87", "12.6", 8, 8))},
    ],
)
def test_a_trial_of_something_else_is_none_of_this(tmp_path: Path, change: dict[str, object]) -> None:
    other = dataclasses.replace(SUBJECT, **change)  # type: ignore[arg-type]
    write_trial(tmp_path, trial_of(subject=other))
    error = refusal(tmp_path)
    assert (error.code, error.exit_status) == ("EVL-ENGINE-UNTRIED", 2)
    assert "edge-vl build" in error.fix


def test_a_trial_of_something_else_under_this_ones_name_is_refused(tmp_path: Path) -> None:
    other = dataclasses.replace(SUBJECT, context=128)
    write_trial(tmp_path, trial_of(subject=other))
    (tmp_path / other.file_name).rename(tmp_path / SUBJECT.file_name)
    error = refusal(tmp_path)
    assert (error.code, error.why) == ("EVL-ENGINE-TRIAL", "it is about other engines")


def test_a_damaged_trial_is_no_untried_one(tmp_path: Path) -> None:
    write_trial(tmp_path, trial_of(role_trial(WRONG)))
    path = tmp_path / SUBJECT.file_name
    path.write_bytes(path.read_bytes().replace(b"0.1 dB like", b"9.1 dB like"))
    error = refusal(tmp_path)
    assert error.code == "EVL-ENGINE-TRIAL"
    assert error.what == f"{SUBJECT.file_name} is damaged"


def test_a_trial_is_about_the_graphs_of_its_dialect_and_their_weights(tmp_path: Path) -> None:
    def subject(bundle: Bundle) -> Subject:
        return subject_of(bundle, "trt10", 64, PLACE)

    bundle, same = bundle_with(tmp_path / "a"), bundle_with(tmp_path / "b", ("trt10",), "int8")
    other = bundle_with(tmp_path / "c", changed=("decoder",))
    assert (
        subject(bundle)
        == subject(same)
        == dataclasses.replace(SUBJECT, graphs_sha256=subject(bundle).graphs_sha256)
    )
    assert subject(bundle) != subject(other)
