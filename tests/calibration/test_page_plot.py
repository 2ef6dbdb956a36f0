"""Plots keep room for what is written in them."""

from __future__ import annotations

import re

import pytest

from calibration.page import STYLE
from calibration.page_plot import Bar, bars

PHONE = 328  # pixels of a plot on a phone that is 360 wide
A_LETTER = 5.8  # pixels of the widest usual font, on average, at the 10 that phones get


@pytest.mark.parametrize("label", ["now", "before", "answer 1", "answer 16", "vision_high blocks.0.proj"])
def test_names_are_whole_on_a_phone(label: str) -> None:
    assert "svg .end { font-size: 10px; }" in STYLE
    drawn = bars([Bar(label, (("int8", 1.0),), "1 MiB")], "sizes")
    found = re.search(r'<text class="end" x="([\d.]+)%"', drawn)
    assert found is not None and float(found[1]) / 100 * PHONE >= len(label) * A_LETTER


def test_bars_and_what_is_said_of_them_are_never_beyond_the_edge() -> None:
    drawn = bars([Bar("x" * 99, (("int8", 3.0), ("float", 1.0)), "4 MiB")], "sizes")
    ends = [
        float(x) + float(width) for x, width in re.findall(r'x="([\d.]+)%" y="\d+" width="([\d.]+)%"', drawn)
    ]
    assert len(ends) == 2 and max(ends) == pytest.approx(72)
