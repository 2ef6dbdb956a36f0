"""What is told of a calibration: what every layer became, what was wanted, and what that cost."""

from __future__ import annotations

import io
import json
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from calibration.budget import Budget
from calibration.evaluation import Exam
from calibration.recipe import Recipe
from calibration.samples import SampleSet
from edge_vl.terminal import Terminal
from edge_vl.verbs.calibrated import Done, json_from_done, show

RECIPE = Recipe()
BUDGET = {
    "asked": {"kl": 3e-4, "mib": 7.0},
    "layers_lifted": 5,
    "tries": 3,
    "bytes_at_most": 6 << 20,
    "measured": {"kl": 2.1e-4, "lost_points": None},
}
CACHE = {"dialects": ["ort", "trt10"], "bytes_a_token_before": 4096, "bytes_a_token": 1024, "alone": 3e-7}
ACCURACY = {"questions": 8, "before": 0.75, "after": 0.625, "lost_points": 12.5, "tasks": [], "changed": []}
SAT = {"questions": 8.0, "accuracy_before": 0.75, "accuracy_after": 0.625}
NEAR = {"logit_kl": 0.012, "top1": 0.98, "greedy": 0.9}


def layers(*kinds: str) -> list[dict[str, Any]]:
    return [{"layer": f"blocks.{number}", "as": kind} for number, kind in enumerate(kinds)]


def manifest(table: str = "fp16", quality: dict[str, float] | None = None) -> Any:
    graphs = [SimpleNamespace(role=role, precision="fp16") for role in ("vision_low", "adaptor", "decoder")]
    files = [SimpleNamespace(bytes=3 << 20)]
    return SimpleNamespace(
        graphs=graphs, embedding=SimpleNamespace(precision=table), files=files, quality=quality
    )


def done(recipe: Recipe = RECIPE, count: int = 1, after: Any = None, **more: Any) -> Done:
    report = {
        "recipe": asdict(recipe),
        "samples": {"count": count},
        "roles": {"decoder": layers("int8", "int4/64", "float", "int4/128", "int4/64")},
        **more,
    }
    return Done(Path("out"), manifest(), after or manifest(), SampleSet(()), None, 1.5, report)


def shown(what: Done) -> list[str]:
    out = io.StringIO()
    show(what, Terminal(out, io.StringIO()))
    return out.getvalue().splitlines()


def test_every_role_says_what_its_layers_became_the_fewest_bits_first() -> None:
    lines = shown(done())
    assert lines[:4] == [
        "vision_low   fp16, as it was",
        "adaptor      fp16, as it was",
        "decoder      1 int4/128, 2 int4/64, 1 int8, 1 float",
        "embed        fp16, as it was",
    ]


def test_products_in_8_bits_are_told_from_weights_in_8_bits() -> None:
    roles = {"vision_low": layers("int8 products", "int8"), "decoder": []}
    lines = shown(done(roles=roles))
    assert lines[0] == "vision_low   1 int8, 1 int8 products" and lines[2] == "decoder      fp16, as it was"


def test_a_table_and_a_cache_of_bytes_are_told() -> None:
    lines = shown(done(after=manifest("int8"), cache=CACHE))
    assert lines[3:5] == [
        "embed        int8",
        "cache        int8 in ort and trt10 graphs, 4,096 → 1,024 bytes a token",
    ]


def test_a_budget_says_what_was_wanted_reached_and_done_for_it() -> None:
    assert shown(done(budget=BUDGET))[4:7] == [
        "budget       KL from the float model: at most 3.00e-04 nats, reached 2.10e-04 nats",
        "budget       whole bundle: at most 7 MiB, reached at most 6.00 MiB",
        "             5 steps of single layers towards float; 3 whole bundles measured on the way",
    ]
    assert not [line for line in shown(done()) if line.startswith("budget")]
    bytes_alone = BUDGET | {"asked": {"mib": 7.0}, "measured": None, "tries": 0, "layers_lifted": 1}
    assert shown(done(budget=bytes_alone))[5] == "             1 step of single layers towards float"


@pytest.mark.parametrize(
    ("recipe", "count", "more", "said"),
    [
        (Recipe(), 1, {}, "calibrated with 1 sample"),
        (Recipe(), 3, {}, "calibrated with 3 samples"),
        (Recipe(vision="fp16"), 3, {}, "compared on 3 samples"),
        (Recipe(vision="fp16"), 99, {}, "compared on 16 samples"),
        (Recipe(vision="fp16"), 2, {"budget": BUDGET}, "calibrated with 2 samples"),
        (Recipe(vision="fp16"), 0, {}, ""),
    ],
)
def test_samples_are_told_for_what_they_were_used(
    recipe: Recipe, count: int, more: dict[str, Any], said: str
) -> None:
    line = next(each for each in shown(done(recipe, count, **more)) if each.startswith("out: "))
    assert line == ", ".join(each for each in ("out: 3.0 MiB → 3.0 MiB", said) if each)


def test_what_it_cost_is_told_as_verify_tells_it() -> None:
    lines = shown(done(after=manifest(quality=NEAR | SAT)))
    assert lines[-3].startswith("beside the float bundle: 98.0% of tokens")
    assert lines[-2] == "right answers to 8 questions: 75.0% before, 62.5% after"
    assert "right answers" in shown(done(after=manifest(quality=SAT)))[-2]


def test_what_was_left_out_is_named() -> None:
    broken = SampleSet((), ("torn.png: no picture",), ("notes.txt", "list.csv"))
    exam = Exam((), ("gone.png: no such file",), ("exam.jsonl, line 3 repeats exam.jsonl, line 1",))
    assert shown(replace(done(), samples=broken, exam=exam))[:4] == [
        "left out: torn.png: no picture",
        "left out: gone.png: no such file",
        "counted once: exam.jsonl, line 3 repeats exam.jsonl, line 1",
        "not taken for pictures: notes.txt, list.csv",
    ]


def test_programs_are_told_the_same() -> None:
    exam = Exam((), ("gone.png",), ("twice",))
    found = replace(done(budget=BUDGET, accuracy=ACCURACY), exam=exam, samples=SampleSet((), (), ("a.txt",)))
    record = json.loads(json.dumps(json_from_done(found)))
    assert record["layers"] == {"decoder": {"int4/128": 1, "int4/64": 2, "int8": 1, "float": 1}}
    assert list(record["layers"]["decoder"]) == ["int4/128", "int4/64", "int8", "float"]
    assert record["budget"] == BUDGET
    assert record["accuracy"] == {"questions": 8, "before": 0.75, "after": 0.625, "lost_points": 12.5}
    assert (record["ignored"], record["broken_questions"], record["repeated_questions"]) == (
        ["a.txt"],
        ["gone.png"],
        ["twice"],
    )
    assert json_from_done(done())["budget"] is None


def test_a_budget_is_told_by_the_names_it_was_given_by() -> None:
    assert set(BUDGET["asked"]) < set(asdict(Budget()))  # type: ignore[call-overload]


def test_layers_that_are_not_alike_in_all_dialects_are_told() -> None:
    lines = shown(done(differing=["decoder head: float in ort, int4/128 and float in trt10"]))
    assert "not alike in all dialects: decoder head: float in ort, int4/128 and float in trt10" in lines
    assert not any("not alike" in line for line in shown(done()))
