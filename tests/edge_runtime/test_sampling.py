from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import (
    LogitsProcessorList,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from edge_runtime.errors import EdgeVLError, MachineFault
from edge_runtime.sampling import (
    Logits,
    Sampling,
    candidates_from_logits,
    draw,
    next_id,
    nucleus,
    penalised,
    rng_from_seed,
    top_k_ids,
)

NOTHING_SEEN = np.zeros(0, dtype=np.int64)


def logits_of(*values: float) -> Logits:
    return np.array(values, dtype=np.float32)


def random_logits(seed: int, size: int, spread: float = 3.0) -> Logits:
    return (np.random.default_rng(seed).standard_normal(size) * spread).astype(np.float32)


def oracle_probabilities(
    logits: Logits, seen: npt.NDArray[np.int64], sampling: Sampling
) -> npt.NDArray[np.float64]:
    """What transformers would draw from, in float64 so that only the rules are compared."""
    steps: list[Any] = []
    if sampling.repetition_penalty != 1.0:
        steps.append(RepetitionPenaltyLogitsProcessor(sampling.repetition_penalty))
    if sampling.temperature != 1.0:
        steps.append(TemperatureLogitsWarper(sampling.temperature))
    if sampling.top_k:
        steps.append(TopKLogitsWarper(sampling.top_k))
    if sampling.top_p < 1.0:
        steps.append(TopPLogitsWarper(sampling.top_p))
    scores = torch.from_numpy(logits.astype(np.float64))[None]
    scores = LogitsProcessorList(steps)(torch.from_numpy(seen)[None], scores)
    result: npt.NDArray[np.float64] = torch.softmax(scores, dim=-1)[0].numpy()
    return result


def probabilities(logits: Logits, seen: npt.NDArray[np.int64], sampling: Sampling) -> npt.NDArray[np.float64]:
    """Ours, over the whole vocabulary."""
    ids, weights = candidates_from_logits(logits, seen, sampling)
    result = np.zeros(logits.size)
    result[slice(None) if ids is None else ids] = weights
    total: float = result.sum()
    result /= total
    return result


def error_of(call: Callable[[], object]) -> EdgeVLError:
    with pytest.raises(EdgeVLError) as caught:
        call()
    return caught.value


@pytest.mark.parametrize("size", [7, 500, 20_000])
@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(temperature=1.0),
        Sampling(temperature=0.2, top_p=0.95, repetition_penalty=1.1),
        Sampling(temperature=1.7, top_k=5),
        Sampling(temperature=0.8, top_k=50, top_p=0.5),
        Sampling(temperature=2.0, top_p=0.999),
        Sampling(temperature=1.0, top_p=1e-9),
        Sampling(temperature=1.0, repetition_penalty=0.7, top_k=10_000),
    ],
    ids=str,
)
def test_the_distribution_is_that_of_transformers(size: int, sampling: Sampling) -> None:
    for seed in range(5):
        logits = random_logits(seed, size)
        seen = np.random.default_rng(seed).integers(0, size, 30)
        ours = probabilities(logits, seen, sampling)
        wanted = oracle_probabilities(logits, seen, sampling)
        assert np.array_equal(ours > 0, wanted > 0)
        np.testing.assert_allclose(ours, wanted, rtol=2e-5, atol=1e-9)


@settings(deadline=None)
@given(
    st.lists(st.floats(-20, 20, width=32), min_size=1, max_size=40, unique=True),
    st.floats(0.01, 0.99),
    st.integers(0, 45),
)
def test_the_nucleus_is_the_shortest_that_reaches_top_p(
    values: list[float], top_p: float, top_k: int
) -> None:
    logits = logits_of(*values)
    everyone = probabilities(logits, NOTHING_SEEN, Sampling(temperature=1.0, top_k=top_k))
    chosen = probabilities(logits, NOTHING_SEEN, Sampling(temperature=1.0, top_p=top_p, top_k=top_k))
    mass = everyone[chosen > 0]
    assert mass.sum() >= top_p - 1e-6
    assert mass.sum() - mass.min() <= top_p + 1e-6
    assert mass.max() == everyone.max()


def test_of_equal_tokens_the_lowest_ids_make_the_nucleus() -> None:
    assert nucleus(logits_of(1, 1, 1, 1), 0.5).tolist() == [0, 1]
    assert nucleus(logits_of(0.5, 1, 0.5, 0.5), 0.6).tolist() == [0, 1]


def test_tokens_that_tie_with_the_last_of_top_k_are_all_kept() -> None:
    assert top_k_ids(logits_of(3, 1, 2, 2, 0), 2).tolist() == [0, 2, 3]


def test_a_penalty_lowers_seen_tokens_once_however_often_they_were_seen() -> None:
    logits = logits_of(2, -2, 2)
    assert penalised(logits, np.array([0, 1, 0]), 2.0).tolist() == [1, -4, 2]
    assert logits.tolist() == [2, -2, 2]


def test_greedy_takes_the_lowest_of_equal_logits_and_draws_nothing() -> None:
    rng = rng_from_seed(1)
    before = rng.bit_generator.state
    assert next_id(logits_of(1, 5, 5, 0), NOTHING_SEEN, Sampling(), rng) == 1
    assert rng.bit_generator.state == before


def test_greedy_applies_the_repetition_penalty() -> None:
    sampling = Sampling(repetition_penalty=2.0)
    assert next_id(logits_of(3, 4, 0), np.array([1]), sampling, rng_from_seed(0)) == 0


@pytest.mark.parametrize(
    "sampling", [Sampling(temperature=1e-300), Sampling(temperature=1e-5), Sampling(1.0, top_k=1)]
)
def test_a_vanishing_temperature_or_top_1_is_greedy(sampling: Sampling) -> None:
    logits = random_logits(3, 1000)
    assert next_id(logits, NOTHING_SEEN, sampling, rng_from_seed(0)) == int(np.argmax(logits))


@pytest.mark.parametrize(
    "sampling",
    [Sampling(temperature=1.0), Sampling(temperature=1.5, top_p=0.8), Sampling(temperature=0.7, top_k=3)],
    ids=str,
)
def test_tokens_are_drawn_as_often_as_they_should_be(sampling: Sampling) -> None:
    logits = random_logits(11, 12, spread=1.0)
    rng, draws = rng_from_seed(7), 20_000
    counts = np.bincount([next_id(logits, NOTHING_SEEN, sampling, rng) for _ in range(draws)], minlength=12)
    wanted = oracle_probabilities(logits, NOTHING_SEEN, sampling) * draws
    assert counts[wanted == 0].sum() == 0
    likely = wanted > 0
    chi_square = (((counts - wanted) ** 2)[likely] / wanted[likely]).sum()
    assert chi_square < 40  # 11 degrees of freedom: p < 0.0001


def test_the_same_seed_draws_the_same_tokens_and_another_seed_others() -> None:
    logits = random_logits(5, 5000, spread=1.0)

    def drawn(seed: int | None) -> list[int]:
        rng = rng_from_seed(seed)
        return [next_id(logits, NOTHING_SEEN, Sampling(temperature=1.0), rng) for _ in range(20)]

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)
    assert drawn(None) != drawn(None)


@pytest.mark.parametrize("fraction", [0.0, 0.5, np.nextafter(1.0, 0.0), 1.0])
def test_a_token_without_weight_is_never_drawn(fraction: float) -> None:
    assert draw(logits_of(0, 0, 1, 0), fraction) == 2


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, 2])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_logits_that_are_not_finite_are_a_fault_of_the_machine(
    bad: float, place: int, temperature: float
) -> None:
    logits = logits_of(1, 2, 3)
    logits[place] = bad
    sampling = Sampling(temperature=temperature)
    error = error_of(lambda: next_id(logits, NOTHING_SEEN, sampling, rng_from_seed(0)))
    assert isinstance(error, MachineFault)
    assert (error.code, error.exit_status) == ("EVL-LOGITS-NONFINITE", 3)
    assert "1 of 3" in error.why


def test_logits_of_extreme_size_are_sampled_without_overflow() -> None:
    logits = logits_of(3e38, -3e38, 0)
    assert next_id(logits, NOTHING_SEEN, Sampling(temperature=0.01), rng_from_seed(0)) == 0


def test_a_penalty_cannot_push_logits_beyond_what_is_finite() -> None:
    logits = logits_of(3e38, -3e38, 0)
    for penalty in (0.01, 100.0):
        assert np.isfinite(penalised(logits, np.array([0, 1]), penalty)).all()


def test_ruled_out_tokens_are_never_in_the_distribution() -> None:
    logits = logits_of(1, -np.inf, 2, -np.inf)
    sampling = Sampling(temperature=1.0, top_p=0.999, repetition_penalty=1.2)
    assert np.flatnonzero(probabilities(logits, np.array([1]), sampling)).tolist() == [0, 2]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", -0.1),
        ("temperature", 9.0),
        ("temperature", float("nan")),
        ("temperature", "hot"),
        ("temperature", True),
        ("top_p", 0.0),
        ("top_p", 1.01),
        ("top_p", float("nan")),
        ("top_k", -1),
        ("top_k", 1.5),
        ("repetition_penalty", 0.0),
        ("repetition_penalty", -1.0),
        ("repetition_penalty", float("inf")),
        ("repetition_penalty", float("nan")),
        ("seed", -1),
        ("seed", 1 << 64),
        ("seed", "1"),
    ],
)
def test_a_setting_out_of_range_is_refused_by_name(name: str, value: object) -> None:
    error = error_of(lambda: Sampling(**{name: value}))  # type: ignore[arg-type]
    assert error.code == "EVL-SAMPLING-" + name.upper().replace("_", "-")
    assert name in error.what
    assert repr(value) in error.why


def test_settings_at_their_limits_are_taken() -> None:
    Sampling(temperature=2, top_p=1, top_k=0, repetition_penalty=1, seed=0)
    Sampling(temperature=0.0, top_p=1e-12, top_k=10**9, repetition_penalty=0.01, seed=(1 << 64) - 1)


@pytest.mark.parametrize("spread", [0.0, 1.0, 6.0])
def test_sampling_from_a_full_vocabulary_takes_milliseconds(spread: float) -> None:
    logits, rng = random_logits(2, 102_400, spread), rng_from_seed(0)
    sampling = Sampling(temperature=0.7, top_k=0, top_p=0.95, repetition_penalty=1.1)
    seen = np.arange(4096)
    start = time.process_time()
    for _ in range(10):
        next_id(logits, seen, sampling, rng)
    assert (time.process_time() - start) / 10 < 0.1  # 0.3 to 6 ms here
