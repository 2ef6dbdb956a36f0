"""Where ranges are cut."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from calibration.histogram import Histogram
from calibration.observer import (
    REACHES,
    Observer,
    reach_by_entropy,
    reach_by_mse,
    reach_by_percentile,
    reach_of,
)
from tests.calibration.twin import entropy_twin


def counted(values: npt.NDArray[np.float32]) -> Histogram:
    found = Histogram()
    found.add(values)
    return found


def normal(count: int = 200_000) -> npt.NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal(count).astype(np.float32)


def gelu(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    inner = np.sqrt(2 / np.pi) * (values + 0.044715 * values**3)
    return np.asarray(values * (1 + np.tanh(inner)) / 2, np.float32)


def error_of(values: npt.NDArray[np.float32], reach: float) -> float:
    step = reach / 127
    rounded = np.clip(np.rint(values / step), -127, 127) * step
    return float(((values - rounded) ** 2).mean())


@pytest.mark.parametrize("observer", list(REACHES))
def test_no_reach_is_beyond_the_largest_value(observer: Observer) -> None:
    for values in (normal(), np.array([3.0], np.float32), np.array([1e-6, 5e4], np.float32)):
        reach = reach_of(observer, counted(values))
        assert 0 < reach <= np.abs(values).max()


def test_the_percentile_leaves_out_as_many_as_it_says() -> None:
    values = normal()
    reach = reach_by_percentile(counted(values))
    outside = float((np.abs(values) > reach).mean())
    assert 0.5e-4 < outside <= 1e-4


def test_mse_finds_what_trying_every_cut_finds() -> None:
    values = normal()
    values[0] = 10  # one that lies far out
    reach = reach_by_mse(counted(values))
    tried = np.linspace(1, 10, 200)
    best = min(error_of(values, float(cut)) for cut in tried)
    assert error_of(values, reach) <= 1.02 * best
    assert error_of(values, reach) < 0.6 * error_of(values, 10)


@pytest.mark.parametrize("observer", ["percentile", "entropy"])  # squares weigh what lies outside more
def test_one_value_far_out_does_not_stretch_the_range(observer: Observer) -> None:
    values = np.append(normal(), np.float32(500))
    assert reach_of(observer, counted(values)) < 100


@pytest.mark.parametrize("observer", ["entropy", "mse"])
def test_what_is_spread_evenly_is_not_cut(observer: Observer) -> None:
    values = np.linspace(-1, 1, 100_001, dtype=np.float32)
    assert reach_of(observer, counted(values)) > 0.97


@pytest.mark.parametrize(("middle", "spread"), [(-3, 3), (-4, 4), (-5, 4), (-2, 2)])
def test_a_pile_at_zero_is_no_reason_to_cut_what_lies_above(middle: int, spread: int) -> None:
    values = gelu(np.float32(spread) * normal() + np.float32(middle))
    histogram = counted(values)
    assert histogram.counts[0] > 6 * histogram.counts[1], "GELU piles up what it makes of numbers below zero"
    lost = error_of(values, reach_by_entropy(histogram))
    assert lost < 0.01 * float(
        (values**2).mean()
    )  # with the pile counted in full: a half, and 0.08 for the last


@pytest.mark.parametrize("kind", ["normal", "far", "pile", "few"])
def test_entropy_finds_what_trying_every_cut_one_bin_at_a_time_finds(kind: str) -> None:
    values = {
        "normal": normal(20_000),
        "far": np.append(normal(20_000), np.float32(300)),
        "pile": gelu(4 * normal(20_000)),
        "few": np.array([1e-3, 0.5, -0.5, 7, 7], np.float32),
    }[kind]
    histogram = counted(values)
    wanted = entropy_twin(histogram.counts.tolist(), histogram.width, histogram.largest)
    assert reach_by_entropy(histogram) == pytest.approx(wanted)
