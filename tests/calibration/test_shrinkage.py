"""What few tokens say about inputs that go together, against a slow and obvious twin, and what it is good for."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from calibration.blocks import Floats, Quantised, quantised_from_weight
from calibration.decision import Int4
from calibration.gptq import gptq_from_weight
from calibration.shrinkage import drawn_to_diagonal, share_of_chance
from tests.calibration.restored import weight_from_quantised

ROWS, COLUMNS, BLOCK = 256, 64, 64


def drawn_twin(moment: npt.NDArray[Any], tokens: int) -> npt.NDArray[np.float64]:
    """One correlation after the other, as the estimator is printed: p variables, n samples, trace of C and of C C. No
    less than the count says."""
    size = len(moment)
    reached = [place for place in range(size) if moment[place, place] > 0]
    p, of_square = len(reached), 0.0
    for row in reached:
        for column in reached:
            of_square += float(moment[row, column]) ** 2 / float(moment[row, row] * moment[column, column])
    upper = (1 - 2 / p) * of_square + p**2
    lower = (tokens + 1 - 2 / p) * (of_square - p**2 / p)
    share = max(1.0 if lower <= 0 else min(1.0, upper / lower), 1 / (1 + (tokens / size) ** 2))
    drawn = moment.astype(np.float64)
    for row in range(size):
        for column in range(size):
            if row != column:
                drawn[row, column] *= 1 - share
    return drawn


def tokens_of(count: int, decay: float, seed: int = 3, large: int = 0) -> Floats:
    """Inputs that go together: the k-th direction has a variance of k^-decay, and none a name of its own. The first
    few may be `large`."""
    directions = np.linalg.qr(np.random.default_rng(1).standard_normal((ROWS, ROWS)))[0]
    scales = np.arange(1, ROWS + 1) ** (-decay / 2)
    scales[:large] *= 5
    found: Floats = (
        np.random.default_rng(seed).standard_normal((count, ROWS)) * scales @ directions.T
    ).astype(np.float32)
    return found


def drawn(x: Floats) -> Floats:
    moment = x.T @ x
    drawn_to_diagonal(moment, len(x))
    return moment


@pytest.mark.parametrize("tokens", [5, 40, 400])
def test_moments_are_drawn_as_the_estimator_is_printed(tokens: int) -> None:
    x = tokens_of(tokens, 1.0)[:, :48] * np.linspace(0.1, 30, 48, dtype=np.float32)
    x[:, 7] = 0  # an input that no token reached
    assert np.allclose(drawn(x), drawn_twin(x.T @ x, tokens), rtol=1e-4, atol=1e-5)


def test_a_moment_of_more_rows_than_are_looked_at_at_once_is_drawn_by_the_same_share() -> None:
    x = np.random.default_rng(2).standard_normal((64, 700)).astype(np.float32)
    x[:, 350:] += x[:, :350]
    moment = x.T @ x
    correlations = moment / np.sqrt(np.outer(moment.diagonal(), moment.diagonal()))
    squares, width = float((correlations.astype(np.float64) ** 2).sum()), 700
    wanted = ((1 - 2 / width) * squares + width**2) / ((65 - 2 / width) * (squares - width))
    assert share_of_chance(moment, 64) == pytest.approx(wanted, rel=1e-5)


def test_many_tokens_are_believed_and_few_that_go_together_by_chance_are_not() -> None:
    shares = [share_of_chance((x := tokens_of(count, 1.0)).T @ x, count) for count in (64, 1024, 16384)]
    assert shares[0] > shares[1] > shares[2] and shares[2] < 0.01, shares
    apart = tokens_of(128, 0.0)
    assert share_of_chance(apart.T @ apart, len(apart)) > 0.95


@pytest.mark.parametrize("moment", [np.zeros((4, 4)), np.diag([3.0, 0, 0, 0]), np.diag([3.0, 2, 1, 1])])
def test_moments_with_nothing_beside_the_diagonal_stay(moment: npt.NDArray[np.float64]) -> None:
    found = moment.astype(np.float32)
    drawn_to_diagonal(found, 100)
    assert np.array_equal(found, moment)


@pytest.mark.parametrize(("decay", "large"), [(0.0, 0), (0.5, 0), (1.0, 0), (0.0, 4)])
@pytest.mark.parametrize("count", [64, 256, 1024])
def test_gptq_fitted_to_few_tokens_is_no_worse_on_others_than_rounding_to_nearest(
    count: int, decay: float, large: int
) -> None:
    weight = (np.random.default_rng(5).standard_normal((ROWS, COLUMNS)) / 16).astype(np.float32)
    x, others = tokens_of(count, decay, large=large), tokens_of(4096, decay, seed=9, large=large)
    found = gptq_from_weight("layer", weight, BLOCK, drawn(x))
    nearest = quantised_from_weight("layer", weight, Int4(BLOCK))
    assert lost_db(weight, found, others) <= lost_db(weight, nearest, others)
    if count <= ROWS and decay < 1:  # what the cure is for
        fitted = gptq_from_weight("layer", weight, BLOCK, x.T @ x)
        assert lost_db(weight, fitted, others) > lost_db(weight, nearest, others) + 1


def lost_db(weight: Floats, quantised: Quantised, x: Floats) -> float:
    lost = x @ (weight - weight_from_quantised(quantised))
    return float(10 * np.log10((lost**2).sum() / ((x @ weight) ** 2).sum()))
