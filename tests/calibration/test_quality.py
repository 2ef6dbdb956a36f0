"""What an exam and a cache become in `quality.json`."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace
from typing import Any

import pytest

from calibration.decision import Float, Int4, Int8
from calibration.evaluation import Evaluation, Exam, Verdict
from calibration.quality import accuracy_report, cache_report, figures_of, quality_from
from calibration.quantgraph import Outcome
from calibration.recipe import Recipe
from calibration.samples import SampleSet
from edge_runtime.record import bytes_from_json


def exam(*right: tuple[str, bool]) -> Evaluation:
    every = enumerate(right)
    return Evaluation(
        tuple(Verdict(f"{number}.png", ask, "yes", "yes" if is_ else "no") for number, (ask, is_) in every)
    )


def test_tasks_that_the_exam_names_are_told_under_their_names() -> None:
    asked = [
        Verdict("a.png", "what is 1?", "yes", "yes", "read"),
        Verdict("b.png", "what is 2?", "yes", "no", "read"),
    ]
    found = Evaluation((*asked, Verdict("c.png", "how many?", "3", "3", "count")))
    told = {(each["task"], each["questions"], each["after"]) for each in tasks(found, found)}
    assert told == {("read", 2, 0.5), ("count", 1, 1.0)}


def tasks(before: Evaluation, after: Evaluation) -> Any:
    return accuracy_report(Exam(()), before, after)["tasks"]


def test_tasks_are_what_was_asked_in_the_same_words_the_most_harmed_first() -> None:
    before = exam(("count", True), ("read", True), ("count", False), ("read", True), ("once", True))
    after = exam(("count", True), ("read", False), ("count", True), ("read", True), ("once", False))
    assert tasks(before, after) == [
        {"task": "read", "questions": 2, "before": 1.0, "after": 0.5},
        {"task": "count", "questions": 2, "before": 0.5, "after": 1.0},
    ]


def test_questions_that_nothing_else_was_asked_like_are_no_tasks() -> None:
    alone = exam(("one", True), ("other", False))
    assert tasks(alone, alone) == []


def test_what_of_an_exam_was_left_out_is_told() -> None:
    alone = exam(("one", True))
    report = accuracy_report(Exam((), ("torn.png: no picture",), ("line 2 repeats line 1",)), alone, alone)
    assert (report["broken"], report["repeated"]) == (["torn.png: no picture"], ["line 2 repeats line 1"])


def test_the_manifest_tells_of_agreement_and_exam_what_there_was() -> None:
    agreement = {"logit_kl": 0.1, "top1": 0.9, "greedy": 0.8}
    sat = {"questions": 2.0, "accuracy_before": 1.0, "accuracy_after": 0.5}
    accuracy = accuracy_report(Exam(()), exam(("a", True), ("b", True)), exam(("a", True), ("b", False)))
    asked = {"agreement": agreement, "answers": [{"tokens": 5}, {"tokens": 2}]}
    told = agreement | {"answers": 2.0, "tokens": 7.0}
    assert figures_of({"agreement": None}) is None
    assert figures_of(asked) == told
    assert figures_of({"agreement": None, "accuracy": accuracy}) == sat
    assert figures_of(asked | {"accuracy": accuracy}) == told | sat


@pytest.mark.parametrize("alone", [math.inf, math.nan])
def test_a_cache_that_breaks_the_model_can_be_written_down(alone: float) -> None:
    ports = [SimpleNamespace(name="past_key_values.0.key", dtype="float16")]
    decoder = SimpleNamespace(role="decoder", dialect="ort", inputs=ports)
    bundle: Any = SimpleNamespace(
        manifest=SimpleNamespace(graphs=[decoder]),
        spec=SimpleNamespace(decoder=SimpleNamespace(kv_heads=2, head_dim=8)),
    )
    report = cache_report(bundle, alone)
    assert json.loads(bytes_from_json(report))["alone"] is None and report["bytes_a_token_before"] == 32


def test_layers_that_could_not_be_stored_alike_in_all_dialects_are_told() -> None:
    whole = [Outcome("head", "", Float("odd"), 8, 8), Outcome("blocks.0.q", "", Int8(), 8, 4)]
    parts = [
        Outcome("head", "_0", Int4(128), 4, 1),
        Outcome("head", "_1", Float("odd"), 4, 4),
        Outcome("blocks.0.q", "", Int8(), 8, 4),
    ]
    outcomes = {"ort": {"decoder": tuple(whole)}, "trt10": {"decoder": tuple(parts)}}
    told = ["decoder head: float in ort, int4/128 and float in trt10"]
    assert quality_from(Recipe(), SampleSet(()), outcomes, None)["differing"] == told
    alike = {"ort": {"decoder": tuple(whole[1:])}, "trt10": {"decoder": tuple(parts[2:])}}
    assert "differing" not in quality_from(Recipe(), SampleSet(()), alike, None)
