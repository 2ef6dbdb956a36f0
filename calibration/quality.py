"""What quantisation cost, as `quality.json` says it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from calibration.agreement import Agreement
from calibration.cache import carriers_in
from calibration.decision import Decision, Float, Int4
from calibration.evaluation import Evaluation, Exam, lost_points
from calibration.quantgraph import Outcome
from calibration.recipe import Recipe
from calibration.samples import SampleSet
from edge_runtime.bundle import Bundle
from edge_runtime.manifest import DTYPE_BITS, PAST, Manifest

Outcomes = Mapping[str, Mapping[str, tuple[Outcome, ...]]]  # by dialect and role


def quality_from(
    recipe: Recipe,
    samples: SampleSet,
    outcomes: Outcomes,
    agreement: Agreement | None,
) -> dict[str, object]:
    """What `quality.json` holds. Integers and scales are the same in all dialects, so one of them is told.

    Where a layer could not be stored alike, `differing` says so: what was measured is not what the others answer.
    """
    first = next(iter(outcomes.values()), {})
    differing = differing_layers(outcomes)
    return ({"differing": differing} if differing else {}) | {
        "recipe": asdict(recipe),
        "samples": {
            "count": len(samples.samples),
            "names": [each.name for each in samples.samples],
            "broken": list(samples.broken),
        },
        "roles": {role: [layer_report(each) for each in every] for role, every in first.items()},
        "agreement": headline(agreement),
        "answers": [] if agreement is None else [asdict(each) for each in agreement.answers],
    }


def differing_layers(outcomes: Outcomes) -> list[str]:
    """As in "decoder head: float in ort, int4/128 and float in trt10": whose parts do not allow the same everywhere."""
    found: dict[tuple[str, str], dict[str, list[str]]] = {}
    for dialect, roles in outcomes.items():
        for role, every in roles.items():
            for each in every:
                found.setdefault((role, each.layer), {}).setdefault(dialect, []).append(
                    words_of(each.decision)
                )
    told = {
        name: {dialect: " and ".join(dict.fromkeys(words)) for dialect, words in dialects.items()}
        for name, dialects in found.items()
    }
    return [
        f"{role} {layer}: {', '.join(f'{words} in {dialect}' for dialect, words in each.items())}"
        for (role, layer), each in told.items()
        if len(set(each.values())) > 1
    ]


def layer_report(outcome: Outcome) -> dict[str, object]:
    said: dict[str, object] = {"layer": outcome.layer + outcome.part, "as": words_of(outcome.decision)}
    if isinstance(outcome.decision, Float) and outcome.decision.reason:
        said["why"] = outcome.decision.reason
    if outcome.sqnr_db is not None:
        said["sqnr_db"] = round(outcome.sqnr_db, 3)
    if outcome.is_migrated:
        said["migrated"] = True
    return said | {"bytes_before": outcome.source_bytes, "bytes": outcome.bytes}


def words_of(decision: Decision) -> str:
    """As in "int4/128", "int8 products" and "float"."""
    if isinstance(decision, Float):
        return "float"
    if isinstance(decision, Int4):
        return f"int4/{decision.block}"
    return "int8" if decision.activation_scale is None else "int8 products"


def headline(agreement: Agreement | None) -> dict[str, float] | None:
    if agreement is None:
        return None
    return {"logit_kl": agreement.kl, "top1": agreement.top1, "greedy": agreement.agreed}


def figures_of(report: Mapping[str, Any]) -> dict[str, float] | None:
    """What the manifest tells of `quality.json`: agreement where there were samples, and how few tokens it rests on;
    accuracy where there was an exam."""
    found: dict[str, float] = dict(report["agreement"] or {})
    if found:
        found["answers"] = float(len(report["answers"]))
        found["tokens"] = float(sum(each["tokens"] for each in report["answers"]))
    if (exam := report.get("accuracy")) is not None:
        found["questions"] = float(exam["questions"])
        found |= {f"accuracy_{name}": exam[name] for name in ("before", "after")}
    return found or None


def accuracy_report(exam: Exam, before: Evaluation, after: Evaluation) -> dict[str, object]:
    """Of an exam that both bundles sat; the questions whose verdict changed are named."""
    pairs = list(zip(before.verdicts, after.verdicts, strict=True))
    changed = [(one, other) for one, other in pairs if one.is_right != other.is_right]
    return {
        "questions": len(pairs),
        "before": before.accuracy,
        "after": after.accuracy,
        "lost_points": lost_points(before, after),
        "tasks": tasks_report(before, after),
        "changed": [
            {
                "sample": one.sample,
                "prompt": one.prompt,
                "expected": one.expected,
                "before": one.got,
                "after": other.got,
            }
            for one, other in changed
        ],
        "broken": list(exam.broken),
        "repeated": list(exam.repeated),
    }


def tasks_report(before: Evaluation, after: Evaluation) -> list[dict[str, object]]:
    """As the exam names them; else what was asked of two pictures in the same words. The most harmed first."""
    found: dict[str, list[tuple[bool, bool]]] = {}
    for one, other in zip(before.verdicts, after.verdicts, strict=True):
        found.setdefault(one.task or one.prompt, []).append((one.is_right, other.is_right))
    named = {each.task for each in before.verdicts}
    tasks = [(name, pairs) for name, pairs in found.items() if len(pairs) > 1 or name in named]
    tasks.sort(key=lambda task: (mean_gain(task[1]), task[0]))
    return [
        {
            "task": name,
            "questions": len(pairs),
            "before": sum(was for was, _ in pairs) / len(pairs),
            "after": sum(is_ for _, is_ in pairs) / len(pairs),
        }
        for name, pairs in tasks
    ]


def mean_gain(pairs: Sequence[tuple[bool, bool]]) -> float:
    return sum(is_ - was for was, is_ in pairs) / len(pairs)


def table_report(bundle: Bundle, after: Manifest) -> dict[str, int]:
    """What the table of tokens took, and what it and its scales take."""
    before = sum(bundle.manifest.embedding.sizes.values())
    return {"bytes_before": before, "bytes": sum(after.embedding.sizes.values())}


def cache_report(bundle: Bundle, alone: float) -> dict[str, object]:
    """What a token takes in the cache before and after, and what that alone costs, in nats a token.

    That is null for a cache that breaks the model.
    """
    carriers = carriers_in(bundle)
    ports = [port for port in carriers[0].inputs if port.name.startswith(PAST)]
    decoder = bundle.spec.decoder
    values = len(ports) * decoder.kv_heads * decoder.head_dim
    before = values * DTYPE_BITS[ports[0].dtype] // 8
    return {
        "dialects": [each.dialect for each in carriers],
        "bytes_a_token_before": before,
        "bytes_a_token": values,
        "alone": alone if math.isfinite(alone) else None,
    }
