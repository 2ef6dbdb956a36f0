"""Rounding that makes up for itself, against a slow and obvious twin."""

from __future__ import annotations

import numpy as np
import pytest

from calibration.blocks import (
    Floats,
    Quantised,
    Weight,
    quantised_from_weight,
)
from calibration.decision import Int4
from calibration.gptq import DAMPING, gptq_from_weight
from edge_runtime.errors import EdgeVLError
from tests.calibration.restored import weight_from_quantised


def correlated(rows: int, count: int, seed: int = 0) -> Floats:
    rng = np.random.default_rng(seed)
    mixed = rng.standard_normal((count, rows // 4)) @ rng.standard_normal((rows // 4, rows))
    found: Floats = (mixed + 0.3 * rng.standard_normal((count, rows))).astype(np.float32)
    return found


def weight_of(rows: int, columns: int, dtype: type[np.floating] = np.float32) -> Weight:
    found: Weight = (np.random.default_rng(5).standard_normal((rows, columns)) / 16).astype(dtype)
    return found


def error_of(weight: Weight, quantised: Quantised, x: Floats) -> float:
    lost = weight.astype(np.float64) - weight_from_quantised(quantised).astype(np.float64)
    return float(((x @ lost) ** 2).sum())


def twin(weight: Weight, block: int, moment: Floats) -> np.ndarray[tuple[int, ...], np.dtype[np.int8]]:
    """One row after the other: the inverse is made anew for the rows that are left, as the method is derived."""
    rows = weight.shape[0]
    wide, damped = weight.astype(np.float64), moment.astype(np.float64)
    damped += np.eye(rows) * DAMPING * moment.diagonal().mean()
    integers = np.zeros(weight.shape, np.int8)
    scale = np.empty(0)
    for row in range(rows):
        if row % block == 0:
            part = wide[row : row + block].astype(np.float32)
            nearest = quantised_from_weight("twin", part.astype(weight.dtype), Int4(block))
            scale = nearest.scales[0].astype(np.float64)
        integers[row] = np.clip(np.rint(wide[row] / scale), -8, 7)
        inverse = np.linalg.inv(damped[row:, row:])
        error = (wide[row] - integers[row] * scale) / inverse[0, 0]
        wide[row:] -= inverse[:, 0][:, None] * error
    return integers


def test_it_rounds_as_the_method_is_derived() -> None:
    x, weight = correlated(64, 200), weight_of(64, 24)
    found = gptq_from_weight("layer", weight, 32, x.T @ x)
    wanted = twin(weight, 32, x.T @ x)
    assert (found.integers == wanted).mean() > 0.995  # a sum in another order may tip what lies in the middle
    assert np.abs(found.integers.astype(int) - wanted).max() <= 1


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("block", [32, 64, 128])
def test_outputs_are_nearer_than_when_rounding_to_nearest(dtype: type[np.floating], block: int) -> None:
    x, weight = correlated(256, 600), weight_of(256, 40, dtype)
    found = gptq_from_weight("layer", weight, block, x.T @ x)
    nearest = quantised_from_weight("layer", weight, Int4(block))
    assert found.scales.dtype == dtype and found.block == block
    assert error_of(weight, found, x) < 0.5 * error_of(weight, nearest, x)


def test_inputs_that_do_not_go_together_change_nothing() -> None:
    weight = weight_of(64, 8)
    found = gptq_from_weight("layer", weight, 32, np.eye(64, dtype=np.float32) * 7)
    nearest = quantised_from_weight("layer", weight, Int4(32))
    assert np.array_equal(found.integers, nearest.integers) and np.array_equal(found.scales, nearest.scales)


def test_rows_that_samples_never_reached_are_still_rounded_well() -> None:
    x, weight = correlated(64, 200), weight_of(64, 8)
    x[:, 40:] = 0
    found = gptq_from_weight("layer", weight, 32, x.T @ x)
    lost = np.abs(weight[40:] - weight_from_quantised(found)[40:])
    assert lost.max() <= 0.51 * found.scales[1].max()
    assert error_of(weight, found, x) <= error_of(weight, quantised_from_weight("l", weight, Int4(32)), x)


@pytest.mark.parametrize("bad", [0.0, np.nan, np.inf])
def test_moments_that_say_nothing_are_an_error_with_the_layers_name(bad: float) -> None:
    with pytest.raises(EdgeVLError, match=r"blocks\.0\.q"):
        gptq_from_weight("blocks.0.q", weight_of(32, 8), 32, np.full((32, 32), bad, np.float32))


def test_a_weight_that_is_no_number_is_an_error_with_the_layers_name() -> None:
    weight = weight_of(32, 8)
    weight[3, 3] = np.nan
    with pytest.raises(EdgeVLError, match=r"blocks\.0\.q"):
        gptq_from_weight("blocks.0.q", weight, 32, np.eye(32, dtype=np.float32))
