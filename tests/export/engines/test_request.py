from __future__ import annotations

import json
from dataclasses import replace

import pytest

from edge_runtime.errors import EdgeVLError, MachineFault
from edge_runtime.record import json_from_record, record_from_json
from export.engines.products import NetworkProduct
from export.engines.request import (
    BuildReport,
    BuildRequest,
    Outcome,
    error_from_failure,
    failure_from_error,
)
from export.engines.shapes import Profile, ShapeRange

REQUEST = BuildRequest(
    role="decoder",
    engine="tensorrt",
    onnx="decoder.onnx",
    plan="decoder.plan",
    profiles=(
        Profile("prefill", {"x": ShapeRange((1, 1), (1, 640), (1, 1024))}),
        Profile("decode", {"x": ShapeRange((1, 1), (1, 1), (1, 1))}),
    ),
    timings="timings.cache",
)
REPORT = BuildReport(
    "decoder",
    "tensorrt",
    "10.3.0.30",
    "d.plan",
    1,
    0.5,
    2.0,
    10.0,
    20.0,
    (7, 8),
    None,
    {"CAST": 2},
    (NetworkProduct("head/MatMul", "matmul", "half"),),
    ("a",),
)


def through_json(value: object) -> object:
    return record_from_json(type(value), json.loads(json.dumps(json_from_record(value))))


def test_a_request_survives_json() -> None:
    assert through_json(REQUEST) == REQUEST


def test_outcomes_survive_json() -> None:
    for outcome in (Outcome(report=REPORT), Outcome(refused_write=28)):
        assert through_json(outcome) == outcome


@pytest.mark.parametrize("kind", [EdgeVLError, MachineFault])
def test_an_error_comes_out_of_the_other_process_as_it_went_in(kind: type[EdgeVLError]) -> None:
    error = kind("EVL-BUILD-FAILED", "what", "why", "fix")
    outcome = through_json(Outcome(failure=failure_from_error(error)))
    assert isinstance(outcome, Outcome)
    assert outcome.failure is not None
    again = error_from_failure(outcome.failure)
    assert (type(again), again.args) == (type(error), error.args)


def test_an_outcome_is_exactly_one_thing() -> None:
    with pytest.raises(ValueError, match="one thing"):
        Outcome()
    with pytest.raises(ValueError, match="one thing"):
        Outcome(report=REPORT, refused_write=28)


def test_two_profiles_have_two_names() -> None:
    with pytest.raises(ValueError, match="two profiles"):
        replace(REQUEST, profiles=REQUEST.profiles[:1] * 2)
