"""The model card says what the committed evaluations say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from demo.card import (
    BARS,
    MORE,
    card_from_reports,
    dates_of,
    guesses_in,
    missed,
    parameters_in,
    reports_in,
)
from demo.walkthrough import CHECKPOINT
from edge_runtime.errors import EdgeVLError

REPORTS = Path(__file__).parents[2] / "docs" / "demo"


def test_the_shipped_card_is_made_of_the_committed_evaluations() -> None:
    text = card_from_reports(reports_in(REPORTS), guesses_in(REPORTS), parameters_in(CHECKPOINT))
    assert (CHECKPOINT / "MODEL_CARD.md").read_text(encoding="utf-8") == text


def test_the_evaluations_are_of_the_same_thousand_held_out_questions() -> None:
    reports = reports_in(REPORTS)
    assert {(each.questions, each.seed, each.score.n >= 1000) for each in reports.values()} == {
        ("held-out", 0, True)
    }
    assert [name for name, each in reports.items() if each.blank] == ["hybrid-blank"]
    assert all(set(BARS) <= set(each.score.tasks) for each in reports.values())


@pytest.mark.parametrize(
    "what", ["other counts", "no boxes", "not blanked", "no more", "another seed", "guesses"]
)
def test_what_cannot_stand_in_one_table_is_refused(what: str) -> None:
    reports, guesses = reports_in(REPORTS), guesses_in(REPORTS)
    name = "hybrid-blank"
    if what == "other counts":
        score = reports[name].score
        reports[name] = replace(reports[name], score=replace(score, counts=score.counts | {"code": 1}))
    elif what == "no boxes":
        for each, report in reports.items():
            counts = {task: count for task, count in report.score.counts.items() if task != "code"}
            reports[each] = replace(report, score=replace(report.score, counts=counts))
    elif what == "no more":
        reports[MORE] = reports["hybrid"]
    elif what == "another seed":
        reports[MORE] = replace(reports[MORE], seed=1)
    elif what == "guesses":
        guesses = replace(guesses, seed=1)
    else:
        reports[name] = reports["hybrid"]
    with pytest.raises(EdgeVLError, match="cannot stand in one table"):
        card_from_reports(reports, guesses, 4_000_000)


def test_an_evaluation_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(EdgeVLError, match=r"hybrid\.json cannot be read"):
        reports_in(tmp_path)
    with pytest.raises(EdgeVLError, match=r"guess\.json cannot be read"):
        guesses_in(tmp_path)


def test_days_between_are_said() -> None:
    assert dates_of(["2026-01-02", "2026-01-02"]) == "2026-01-02"
    assert dates_of(["2026-01-03", "2026-01-02"]) == "2026-01-02 to 2026-01-03"


def test_a_bar_that_is_missed_is_said_with_how_much() -> None:
    perfect = dict.fromkeys(BARS, 1.0)
    assert missed(perfect, 0.9) == "every bar is met."
    text = missed(perfect | {"meter": 0.85}, 0.65)
    assert text == "missed bars: meter by 5.0 points, the boxes' IoU by 0.05."
