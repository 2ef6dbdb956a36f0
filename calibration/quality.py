"""What quantisation cost, as `quality.json` says it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

from calibration.agreement import Agreement
from calibration.decision import Decision, Float, Int4
from calibration.quantgraph import Outcome
from calibration.recipe import Recipe
from calibration.samples import SampleSet

Outcomes = Mapping[str, Mapping[str, tuple[Outcome, ...]]]  # by dialect and role


def quality_from(
    recipe: Recipe,
    samples: SampleSet,
    outcomes: Outcomes,
    agreement: Agreement | None,
) -> dict[str, object]:
    """What `quality.json` holds. Integers and scales are the same in all dialects, so one of them is told."""
    first = next(iter(outcomes.values()), {})
    return {
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
