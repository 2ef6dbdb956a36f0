"""Two sources tell what is in a plan, each of them only sometimes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edge_runtime.errors import EdgeVLError, MachineFault
from export.engines.findings import Findings, findings_from
from export.engines.inspector import PlanReport, listing_error, report_from_plan

PLAN = Path("decoder.plan")
LISTED, SEEN = PlanReport(1, (), "plan"), PlanReport(1, (), "engine")
UNREADABLE = listing_error(PLAN, "there is none in the file")
FOREIGN = EdgeVLError("EVL-ENGINE-FOREIGN", "cannot open decoder.plan on this GPU", "no such GPU", "build it")
UNTOLD = [
    EdgeVLError("EVL-ENGINE-LISTING", "cannot be read", "it is cut off", "report these lines"),
    EdgeVLError(
        "EVL-ENGINE-NAMES", "tells nothing", "it was built without detailed profiling", "build it again"
    ),
    MachineFault("EVL-INSPECT-CRASH", "crashed", "SIGSEGV", "try again"),
]
BEYOND = [
    EdgeVLError("EVL-FILE", "decoder.plan cannot be read", "no such file", "check the path"),
    EdgeVLError("EVL-ENGINE-MISSING", "tensorrt is not installed", "no module", "install it"),
    MachineFault("EVL-ENGINE-DRIVER", "the library does not start", "an old driver", "install another"),
]


def says(answer: PlanReport | EdgeVLError | None) -> Callable[[], PlanReport | None]:
    def ask() -> PlanReport | None:
        if isinstance(answer, EdgeVLError):
            raise answer
        return answer

    return ask


@pytest.mark.parametrize(
    ("plan", "engine", "sources", "refusals"),
    [
        (LISTED, None, ["plan"], []),
        (LISTED, SEEN, ["plan", "engine"], []),
        (None, SEEN, ["engine"], []),
        (LISTED, FOREIGN, ["plan"], [FOREIGN]),
        (UNREADABLE, SEEN, ["engine"], [UNREADABLE]),
        *((LISTED, fault, ["plan"], [fault]) for fault in UNTOLD),
    ],
)
def test_one_source_is_enough_and_what_the_other_refused_is_noted(
    plan: PlanReport | EdgeVLError | None,
    engine: PlanReport | EdgeVLError | None,
    sources: list[str],
    refusals: list[EdgeVLError],
) -> None:
    found = findings_from(PLAN, says(plan), says(engine))
    assert [report.source for report in found.reports] == sources
    assert found.refusals == tuple(str(each) for each in refusals)


@pytest.mark.parametrize(
    ("plan", "engine", "code"),
    [
        (None, None, "EVL-ENGINE-UNSEEN"),
        (None, FOREIGN, "EVL-ENGINE-FOREIGN"),
        (UNREADABLE, None, "EVL-PLAN-LISTING"),
        (UNREADABLE, FOREIGN, "EVL-PLAN-LISTING"),
        (UNREADABLE, UNTOLD[0], "EVL-PLAN-LISTING"),
    ],
)
def test_where_neither_answers_an_error_says_why(
    plan: PlanReport | EdgeVLError | None, engine: EdgeVLError | None, code: str
) -> None:
    with pytest.raises(EdgeVLError) as caught:
        findings_from(PLAN, says(plan), says(engine))
    assert caught.value.code == code


@pytest.mark.parametrize("fault", UNTOLD, ids=lambda fault: str(fault.code))
def test_a_plan_without_a_listing_is_kept_where_its_engine_cannot_be_read(fault: EdgeVLError) -> None:
    """TensorRT's: nothing else tells of them, and minutes of building are in them."""
    found = findings_from(PLAN, says(None), says(fault))
    assert (found.reports, found.refusals) == ((), (str(fault),))


@pytest.mark.parametrize("listing", [LISTED, None], ids=["listed", "unlisted"])
@pytest.mark.parametrize("fault", BEYOND, ids=lambda fault: str(fault.code))
def test_a_source_that_fails_is_no_source_that_refuses(
    fault: EdgeVLError, listing: PlanReport | None
) -> None:
    with pytest.raises(EdgeVLError) as caught:
        findings_from(PLAN, says(listing), says(fault))
    assert caught.value is fault


def test_the_listing_is_read_before_a_device_is_asked() -> None:
    order: list[str] = []

    def asked(name: str, answer: PlanReport) -> Callable[[], PlanReport]:
        def ask() -> PlanReport:
            order.append(name)
            return answer

        return ask

    findings_from(PLAN, asked("plan", LISTED), asked("engine", SEEN))
    assert order == ["plan", "engine"]


def test_a_plan_of_another_library_is_refused_as_the_listing_is_not_there(tmp_path: Path) -> None:
    """The refusal that is borne is the one that the inspector really makes."""
    plan = tmp_path / "decoder.plan"
    plan.write_bytes(b"ftrt" + bytes(4096))
    found = findings_from(plan, lambda: report_from_plan(plan), says(SEEN))
    assert found.plan is None and found.engine is SEEN
    assert "EVL-PLAN-LISTING" in found.refusals[0]


def test_findings_of_nobody_are_none() -> None:
    with pytest.raises(ValueError, match="nothing was found"):
        Findings(None, None)
