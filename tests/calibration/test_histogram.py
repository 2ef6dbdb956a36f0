"""Counts of magnitudes do not depend on how they came."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calibration.histogram import BINS, Histogram

finite = st.floats(-60000, 60000, width=16)


def histogram_of(*pieces: list[float], dtype: type[np.floating] = np.float32) -> Histogram:
    found = Histogram()
    for piece in pieces:
        found.add(np.array(piece, dtype))
    return found


def twin(values: list[float], width: float) -> list[int]:
    """Slow and obvious."""
    counts = [0] * BINS
    for value in values:
        if value:
            counts[int(abs(value) / width)] += 1
    return counts


@given(st.lists(finite, max_size=40), st.lists(finite, max_size=40))
@settings(max_examples=60, deadline=None)
def test_pieces_and_their_order_change_nothing(one: list[float], other: list[float]) -> None:
    found, turned, whole = histogram_of(one, other), histogram_of(other, one), histogram_of(one + other)
    for each in (found, turned):
        assert each.counts.tolist() == whole.counts.tolist()
        assert (each.width, each.largest, each.total) == (whole.width, whole.largest, len(one + other))


@given(st.lists(finite, min_size=1, max_size=40))
@settings(max_examples=60, deadline=None)
def test_every_value_is_in_its_bin(values: list[float]) -> None:
    found = histogram_of(values)
    if found.width:
        assert found.counts.tolist() == twin(values, found.width)
        assert BINS / 2 * found.width <= found.largest < BINS * found.width
    else:
        assert not any(values)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_a_value_a_billion_times_larger_leaves_the_others_in_the_first_bin(dtype: type[np.floating]) -> None:
    found = histogram_of([1e-4, 2e-4], [3e4], dtype=dtype)
    assert found.counts[0] == 2 and found.counts.sum() == 3


def test_nothing_but_zeros_has_no_width() -> None:
    found = histogram_of([0.0, 0.0], [-0.0])
    assert (found.width, found.largest, found.total) == (0.0, 0.0, 3)
