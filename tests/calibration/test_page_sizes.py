"""What the page says about bytes."""

from __future__ import annotations

import pytest

from tests.calibration.paged import bare, budget, full, part, read


def test_the_bytes_of_a_role_are_drawn_by_precision() -> None:
    tags = read(bare())
    before, int4 = tags.drawn("float")[0], tags.drawn("int4")[0]
    assert before == pytest.approx(10 * int4, abs=0.05) and tags.drawn("int8")[0] == pytest.approx(int4)


def test_sizes_of_table_and_bundle_are_told_where_the_report_has_them() -> None:
    sized = budget() | {"bytes_at_most": 6 << 20, "tries": 5}
    report = full() | {"table": {"bytes_before": 4 << 20, "bytes": 1 << 20}, "budget": sized}
    text = read(report).text
    assert "The table of tokens is int8: 4.00 MiB → 1.00 MiB." in text
    assert "at most 7 MiB at most 6.00 MiB" in text and "Whole bundles measured on the way: 5." in text


def test_a_cache_that_breaks_every_answer_is_told_as_that() -> None:
    cache = full()["cache"] | {"alone": None}
    assert "That alone costs every answer" in part(full() | {"cache": cache}, "The cache of keys")
