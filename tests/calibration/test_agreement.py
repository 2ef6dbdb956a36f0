"""What is said about two models' words."""

from __future__ import annotations

import numpy as np
import pytest

from calibration.agreement import Agreement, Likeness, likeness_of


def logits(*rows: tuple[float, ...]) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.array(rows, np.float32)


def test_the_same_thoughts_agree_in_everything() -> None:
    wanted = logits((0, 3, 1), (5, 0, 0))
    found = likeness_of("a", [1, 0], wanted, wanted + 7)  # a constant changes no probability
    assert (found.top1, found.agreed, found.tokens) == (1.0, 2, 2)
    assert found.kl == pytest.approx(0, abs=1e-9)


def test_models_that_hardly_differ_are_never_less_than_alike() -> None:
    rng = np.random.default_rng(0)
    wanted = rng.normal(size=(400, 201)).astype(np.float32)
    wanted[:, 0] += 20
    found = likeness_of(
        "a", [0] * 400, wanted, wanted + rng.normal(scale=1e-5, size=wanted.shape).astype(np.float32)
    )
    assert min(found.kl_at) >= 0
    assert found.kl >= 0


def test_divergence_is_that_of_the_float_model_from_the_quantised() -> None:
    wanted, other = logits((0, 0)), logits((np.log(3), 0))
    found = likeness_of("a", [0], wanted, other)
    assert found.kl == pytest.approx(0.5 * np.log(0.5 / 0.75) + 0.5 * np.log(0.5 / 0.25), rel=1e-6)


def test_greedy_tokens_agree_until_the_first_that_differs() -> None:
    wanted = logits((1, 0), (1, 0), (1, 0), (1, 0))
    other = logits((1, 0), (1, 0), (0, 1), (1, 0))
    found = likeness_of("a", [0, 0, 0, 0], wanted, other)
    assert (found.agreed, found.top1) == (2, 0.75)
    assert found.differs_at == (2,)


def test_divergence_is_told_place_by_place() -> None:
    wanted, other = logits((0, 0), (0, 0)), logits((0, 0), (np.log(3), 0))
    found = likeness_of("a", [0, 0], wanted, other)
    assert found.kl_at == (0.0, 0.144) and found.kl == pytest.approx(0.144 / 2, rel=1e-2)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_a_model_that_says_no_number_is_infinitely_far(wrong: float) -> None:
    wanted = logits((1, 0), (1, 0))
    found = likeness_of("a", [0, 0], wanted, logits((1, 0), (1, wrong)))
    assert (found.kl, found.top1, found.agreed) == (np.inf, 0.0, 0)
    good = likeness_of("b", [0, 0], wanted, wanted)
    assert Agreement((good, found)).kl == np.inf


def test_long_answers_weigh_more_than_short_ones() -> None:
    both = Agreement((Likeness("a", 30, 0.1, 1.0, 30), Likeness("b", 10, 0.5, 0.0, 0)))
    assert both.kl == pytest.approx(0.2)
    assert (both.top1, both.agreed) == (0.75, 0.75)
