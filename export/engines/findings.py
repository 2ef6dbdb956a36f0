"""What is in a plan, by whom it was told, and who would not tell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_runtime.errors import EdgeVLError
from export.engines.inspector import PlanReport

Ask = Callable[[], PlanReport | None]  # None: there is nobody to ask

# An engine whose layers are told in words that nobody foresaw. Its plan may be good all the same: a trial tells.
UNTOLD = frozenset({"EVL-ENGINE-LISTING", "EVL-ENGINE-NAMES", "EVL-INSPECT-CRASH"})
# What one source may refuse where the other one answers: plans of other versions, and GPUs that plans are built for
# and not run on, besides. All else is a fault.
BEARABLE = UNTOLD | {"EVL-PLAN-LISTING", "EVL-ENGINE-FOREIGN"}


@dataclass(frozen=True)
class Findings:
    """What is in a plan: by its own listing, and on a machine with a GPU by the engine made of it. `refusals` are the
    words of a source that did not answer. Neither has where a plan without a listing is made into an engine that tells
    nothing we can read."""

    plan: PlanReport | None
    engine: PlanReport | None
    refusals: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.reports and not self.refusals:
            raise ValueError("nothing was found")

    @property
    def reports(self) -> tuple[PlanReport, ...]:
        return tuple(report for report in (self.plan, self.engine) if report is not None)


def findings_from(path: Path, listing: Ask, device: Ask) -> Findings:
    """Both sources are asked, the plan's own listing first. Where neither answers, an error says why, unless all that
    stands against the plan is that its engine could not be read."""
    refusals: list[EdgeVLError] = []
    plan, engine = (answer_unless_refused(ask, refusals) for ask in (listing, device))
    if plan is None and engine is None and not is_only_untold(refusals):
        raise refusals[0] if refusals else unseen_error(path)
    return Findings(plan, engine, tuple(str(each) for each in refusals))


def answer_unless_refused(ask: Ask, refusals: list[EdgeVLError]) -> PlanReport | None:
    try:
        return ask()
    except EdgeVLError as error:
        if error.code not in BEARABLE:
            raise
        refusals.append(error)
        return None


def is_only_untold(refusals: Sequence[EdgeVLError]) -> bool:
    return bool(refusals) and all(each.code in UNTOLD for each in refusals)


def unseen_error(path: Path) -> EdgeVLError:
    what, why = (
        f"nothing tells what is in {path.name}",
        "it has no listing of its own, and no GPU answers on this machine",
    )
    fix = "build it on the machine that is to run it, or with TensorRT-RTX, whose plans have a listing"
    return EdgeVLError("EVL-ENGINE-UNSEEN", what, why, fix)
