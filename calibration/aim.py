"""What a calibration has to keep and to find out: budgets, the harm that layers do alone, questions with known answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from calibration.answers import Answers
from calibration.budget import Budget, Choice, chosen_mix
from calibration.cache import carriers_in
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
from edge_runtime.manifest import PAST, Calibration
from edge_runtime.progress import silent


@dataclass(frozen=True)
class Aim:
    """Without a budget every layer becomes what the recipe says. An exam alone is only sat, before and after, and layers
    that are only ranked stay as they are."""

    budget: Budget = field(default_factory=Budget)
    exam: Exam | None = None
    is_ranked: bool = False  # layers by the harm they do alone, which a budget looks for anyway

    def __post_init__(self) -> None:
        if self.budget.accuracy is not None and self.exam is None:
            what, why = "accuracy cannot be kept", "there are no questions with known answers"
            raise EdgeVLError(
                "EVL-CALIBRATE-EVAL", what, why, "give --eval FILE.jsonl beside --budget-accuracy"
            )

    @property
    def has_budget(self) -> bool:
        return self.budget.is_given

    @property
    def needs_ranking(self) -> bool:
        return self.is_ranked or self.has_budget


@dataclass(frozen=True, eq=False)
class Kept:
    """A plan within its budgets, and how it was found; without a budget nothing was chosen."""

    plan: Plan
    sensitivity: Sensitivity
    choice: Choice | None

    def to_json(self, budget: Budget) -> dict[str, object]:
        """The parts of `quality.json` that tell of it."""
        ranked: dict[str, object] = {"sensitivity": self.sensitivity.to_json()}
        return ranked if self.choice is None else {"budget": json_from_choice(self.choice, budget)} | ranked


def json_from_choice(choice: Choice, budget: Budget) -> dict[str, object]:
    asked: Mapping[str, float | None] = asdict(budget)
    return {
        "asked": {name: value for name, value in asked.items() if value is not None},
        "layers_lifted": choice.lifts,
        "tries": choice.tries,
        "bytes_at_most": choice.bytes,
        "measured": None if choice.measured is None else asdict(choice.measured),
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
    """`plan` with as many layers nearer to float as its budgets need; without a budget its layers are only ranked."""
    bundle, matrices = subject.bundle, matrices_of(subject.bundle)
    trial = Trial(bundle, subject.dialect, answers, plan, subject.threads)
    found = sensitivity_of(
        trial, plan.decisions, matrices, subject.desk, subject.progress, is_asked_only=not aim.has_budget
    )
    if not aim.has_budget:
        return Kept(plan, found, None)
    ladders = found.ladders(matrices)
    fixed = fixed_bytes(bundle, matrices, ladders) + bytes_beside(bundle, subject.recipe)
    rehearsal = rehearsal_of(subject, plan, answers, aim, before, origin)
    choice = chosen_mix(plan.decisions, ladders, aim.budget, fixed, rehearsal, subject.progress)
    return Kept(replace(plan, decisions=choice.mix), found, choice)


def rehearsal_of(
    subject: Subject, plan: Plan, answers: Answers, aim: Aim, before: Evaluation | None, origin: Calibration
) -> Rehearsal:
    one = bundle_in_one_dialect(subject.bundle, subject.dialect)

    def write(mix: Mix, folder: Path) -> Bundle:
        changed = replace(plan, decisions=mix)
        return Bundle(folder, BundleWriter(one, subject.recipe, changed, folder, silent).write(origin))

    sitting = Sitting(aim.exam, before) if aim.exam is not None and before is not None else None
    return Rehearsal(
        write, subject.dialect, answers, sitting, subject.threads, subject.desk, subject.progress
    )


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
