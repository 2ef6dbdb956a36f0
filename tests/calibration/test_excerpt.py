"""Reports that are no longer than there is room for."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import pytest

from calibration.excerpt import EXCERPTS, LIST_BYTES, SHORT_BYTES, bytes_of, excerpt_of, fitting
from calibration.page import page_from_quality
from calibration.recipe import Recipe
from edge_runtime.record import bytes_from_json

MARKS = "<&'\"\u2028ä"  # what takes more bytes written than read


def report(count: int, letters: int) -> dict[str, Any]:
    """As a calibration's, with lists that are as long as their givers like."""

    def text(index: int) -> str:
        return f"{index} " + (MARKS * letters)[:letters]

    change = {"before": "a", "after": "b", "expected": "c"}
    answer = {"tokens": 9, "agreed": 9, "top1": 1.0, "kl": 0.0}
    return {
        "recipe": asdict(Recipe()),
        "samples": {
            "count": count,
            "names": [text(index) for index in range(count)],
            "broken": [text(index) for index in range(count)],
        },
        "roles": {"decoder": []},
        "agreement": None,
        "answers": [{"sample": text(index), **answer} for index in range(count)],
        "accuracy": {
            "questions": count,
            "before": 1.0,
            "after": 1.0,
            "lost_points": 0.0,
            "tasks": [
                {"task": text(index), "questions": 2, "before": 1.0, "after": 0.5} for index in range(count)
            ],
            "changed": [{"sample": text(index), "prompt": text(index), **change} for index in range(count)],
            "broken": [text(index) for index in range(count)],
            "repeated": [text(index) for index in range(count)],
        },
    }


def test_a_short_report_stays_as_it_is() -> None:
    whole = report(3, 20)
    assert excerpt_of(whole, SHORT_BYTES) == whole


def test_what_is_left_out_is_counted() -> None:
    found = excerpt_of(report(1000, 20), SHORT_BYTES)
    for section, names in (
        ("samples", ("names", "broken")),
        ("accuracy", ("tasks", "changed", "broken", "repeated")),
    ):
        for name in names:
            kept = found[section][name]
            assert 0 < len(kept) < 1000 and kept == report(len(kept), 20)[section][name]
            assert found[section]["left_out"][name] == 1000 - len(kept)
    assert found["left_out"] == {"answers": 1000 - len(found["answers"])}
    assert found["samples"]["count"] == found["accuracy"]["questions"] == 1000


@pytest.mark.parametrize(("count", "letters"), [(5000, 3), (300, 200), (20, 1500), (3, 10**6)])
def test_file_and_page_take_no_more_than_the_room_that_is_kept_for_them(count: int, letters: int) -> None:
    found = excerpt_of(report(count, letters), SHORT_BYTES)
    empty = report(0, 0)
    grown, least = (
        len(bytes_from_json(each)) + len(page_from_quality(each, "x").encode()) for each in (found, empty)
    )
    assert grown <= least + EXCERPTS * SHORT_BYTES + 1024  # the counts of what is left out
    assert grown > least


def test_without_a_budget_a_thousand_questions_are_named() -> None:
    assert "left_out" not in excerpt_of(report(1000, 20), LIST_BYTES[0])["accuracy"]


def test_an_entry_that_is_too_long_leaves_room_for_others() -> None:
    assert fitting(["x" * 500, "y", "z"], 2 * bytes_of("y")) == ["y", "z"]


def test_names_that_are_no_text_can_be_written() -> None:
    odd = report(1, 5) | {"answers": [{"sample": "caf\udce9.png"}]}
    odd["samples"]["names"] = ["caf\udce9.png"]
    found = json.loads(bytes_from_json(excerpt_of(odd, LIST_BYTES[0])))
    assert found["samples"]["names"] == ["caf?.png"] and found["answers"] == [{"sample": "caf?.png"}]
