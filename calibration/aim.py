"""What a calibration has to keep: budgets, and questions with known answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from calibration.answers import Answers
from calibration.budget import Budget, Choice, chosen_mix
from calibration.cache import DIALECTS, PAST
from calibration.evaluation import Evaluation, Exam, kept_evaluation
from calibration.ladder import (
    NODE_BYTES,
    Mix,
    decisions_below_float,
    fixed_bytes,
    ladder_from,
    matrices_of,
)
from calibration.plan import Plan
from calibration.planner import Subject
from calibration.recipe import Recipe
from calibration.rehearsal import Rehearsal, Sitting, bundle_in_one_dialect
from calibration.sensitivity import Sensitivity, sensitivity_of
from calibration.trial import Trial
from calibration.writer import BundleWriter
from edge_runtime.bundle import Bundle
from edge_runtime.errors import EdgeVLError
from edge_runtime.manifest import Calibration, GraphEntry
from edge_runtime.progress import silent


@dataclass(frozen=True)
class Aim:
    """Without a budget every layer becomes what the recipe says. An exam alone is only sat, before and after."""

    budget: Budget = field(default_factory=Budget)
    exam: Exam | None = None

    def __post_init__(self) -> None:
        if self.budget.accuracy is not None and self.exam is None:
            what, why = "accuracy cannot be kept", "there are no questions with known answers"
            raise EdgeVLError(
                "EVL-CALIBRATE-EVAL", what, why, "give --eval FILE.jsonl beside --budget-accuracy"
            )

    @property
    def has_budget(self) -> bool:
        return self.budget.is_given


@dataclass(frozen=True, eq=False)
class Kept:
    """A plan within its budgets, and how it was found."""

    plan: Plan
    sensitivity: Sensitivity
    choice: Choice

    def to_json(self, budget: Budget) -> dict[str, object]:
        asked: Mapping[str, float | None] = asdict(budget)
        measured = self.choice.measured
        return {
            "asked": {name: value for name, value in asked.items() if value is not None},
            "layers_lifted": self.choice.lifts,
            "tries": self.choice.tries,
            "bytes_at_most": self.choice.bytes,
            "measured": None if measured is None else asdict(measured),
            "alone": self.sensitivity.to_json(),
        }


def float_evaluation(subject: Subject, exam: Exam | None) -> Evaluation | None:
    if exam is None:
        return None
    return kept_evaluation(
        subject.bundle, subject.dialect, exam, subject.threads, subject.desk, subject.progress
    )


def kept_plan(
    subject: Subject, plan: Plan, answers: Answers, aim: Aim, before: Evaluation | None, origin: Calibration
) -> Kept:
    """`plan` with as many layers nearer to float as its budgets need."""
    bundle, matrices = subject.bundle, matrices_of(subject.bundle)
    trial = Trial(bundle, subject.dialect, answers, plan, subject.threads)
    found = sensitivity_of(trial, plan.decisions, matrices, subject.desk, subject.progress)
    ladders = found.ladders(matrices)
    one = bundle_in_one_dialect(bundle, subject.dialect)

    def write(mix: Mix, folder: Path) -> Bundle:
        changed = replace(plan, decisions=mix)
        return Bundle(folder, BundleWriter(one, subject.recipe, changed, folder, silent).write(origin))

    sitting = Sitting(aim.exam, before) if aim.exam is not None and before is not None else None
    rehearsal = Rehearsal(
        write, subject.dialect, answers, sitting, subject.threads, subject.desk, subject.progress
    )
    fixed = fixed_bytes(bundle, matrices, ladders) + bytes_beside(bundle, subject.recipe)
    choice = chosen_mix(plan.decisions, ladders, aim.budget, fixed, rehearsal, subject.progress)
    return Kept(replace(plan, decisions=choice.mix), found, choice)


def least_bytes(bundle: Bundle, recipe: Recipe) -> int:
    """Of the whole bundle with every layer as small as the recipe asks for, rounded up as budgets round."""
    matrices = matrices_of(bundle)
    ladders = [
        ladder_from(role, name, layers[name], dict.fromkeys(decisions_below_float(asked), 0.0))
        for role, layers in matrices.items()
        for name, asked in recipe.decisions(role, layers, dict.fromkeys(layers, 1.0)).items()
    ]
    least = sum(each.rungs[0].bytes for each in ladders)
    return least + fixed_bytes(bundle, matrices, ladders) + bytes_beside(bundle, recipe)


def bytes_beside(bundle: Bundle, recipe: Recipe) -> int:
    """What a table of bytes saves, and what the scales of such a cache take: budgets decide about neither."""
    return cache_bytes(bundle, recipe) - table_bytes_saved(bundle, recipe)


def table_bytes_saved(bundle: Bundle, recipe: Recipe) -> int:
    if recipe.embedding != "int8":
        return 0
    table = bundle.manifest.embedding
    before = sum(table.sizes.values())
    scale_bytes = before // (table.rows * table.width)
    return before - table.rows * (table.width + scale_bytes)


def cache_bytes(bundle: Bundle, recipe: Recipe) -> int:
    """Scales in fp32, one for each channel, and what names them."""
    if recipe.kv != "int8":
        return 0
    decoder = bundle.spec.decoder
    ports = sum(port.name.startswith(PAST) for each in carriers_in(bundle) for port in each.inputs)
    return ports * (4 * decoder.kv_heads * decoder.head_dim + NODE_BYTES)


def carriers_in(bundle: Bundle) -> list[GraphEntry]:
    """The decoders whose cache can hold bytes."""
    return [each for each in bundle.manifest.graphs if each.role == "decoder" and each.dialect in DIALECTS]
