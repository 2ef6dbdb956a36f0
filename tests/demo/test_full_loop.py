from __future__ import annotations

import pytest

from demo.full_loop import Round, report_of, stand_of
from edge_runtime.bundle import Bundle
from tests.proof.subject import bundle_below, session_folder


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return Bundle.open(bundle_below(session_folder(tmp_path_factory), "windowed"), is_trusted=True)


def test_a_round_measures_both_and_leaves_nothing_running(bundle: Bundle) -> None:
    stand = stand_of(bundle)
    found = stand.round(3)
    assert found.one_tokens_per_s > 0 and found.four_tokens_per_s > 0
    assert found.first_question_ms > 0 and found.second_question_ms > 0
    assert (stand.one.running, stand.one.waiting, stand.four.running, stand.four.waiting) == (0, 0, 0, 0)


def test_ratios_are_medians_of_the_rounds_own(bundle: Bundle) -> None:
    rounds = [Round(10, 20, 500, 100), Round(1, 9, 60, 10), Round(100, 110, 900, 300)]
    report = report_of(bundle, rounds, "as it was run")
    assert (report["four_beside_one"], report["first_beside_second_question"]) == (2.0, 5.0)
    assert report["decoder"] == "fp32" and report["command"] == "as it was run"
