"""Where ranges are cut."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from calibration.histogram import Histogram
from calibration.observer import REACHES, Observer, reach_by_mse, reach_by_percentile, reach_of


def counted(values: npt.NDArray[np.float32]) -> Histogram:
    found = Histogram()
    found.add(values)
    return found


def normal(count: int = 200_000) -> npt.NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal(count).astype(np.float32)


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
