"""The likeliest tokens alone decide as all logits would, or all logits are asked for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.errors import MachineFault
from edge_runtime.sampling import NONFINITE_CODE, NOTHING_SEEN, Ids, Logits, Sampling, next_id, rng_from_seed
from edge_runtime.scores import Scores, Top, deciding

VOCAB, CANDIDATES = 200, 64
SEEN = np.array([0, 3, 3, 9], dtype=np.int64)


@dataclass
class Step:
    """One row of logits as an engine has it; `fetched` counts how often all of it crossed to us."""

    logits: Logits
    fetched: int = 0

    def fetch(self) -> Logits:
        self.fetched += 1
        return self.logits[None, None]

    def scores(self, order_of_ties: int = 0) -> Scores:
        return Scores(self.fetch, top_of(self.logits, order_of_ties))


def top_of(logits: Logits, order_of_ties: int = 0) -> Top:
    """The likeliest, falling; no engine promises an order of those that are equal."""
    shuffled = np.random.default_rng(order_of_ties).permutation(logits.size)
    ids = np.lexsort((shuffled, -logits))[:CANDIDATES]
    return Top(logits[ids][None, None], ids[None, None])


def falling(*likeliest: float) -> Logits:
    """Logits of a vocabulary whose likeliest are these, and all others far below and different."""
    rest = -100 - np.arange(VOCAB - len(likeliest), dtype=np.float32)
    return np.concatenate([np.array(likeliest, dtype=np.float32), rest])


def drawn(logits: Logits, sampling: Sampling, seen: Ids = NOTHING_SEEN) -> int:
    return next_id(logits, seen, sampling, rng_from_seed(5))


def asked(step: Step, sampling: Sampling, seen: Ids = NOTHING_SEEN) -> int:
    return step.scores().next_id(seen, sampling, rng_from_seed(5))


@st.composite
def logits_of_any_kind(draw: st.DrawFn) -> Logits:
    """From all different to all equal."""
    rng = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    size = draw(st.sampled_from([CANDIDATES, CANDIDATES + 1, VOCAB, 1000]))
    levels = draw(st.sampled_from([1, 2, 5, 20, 100, None]))
    spread = draw(st.sampled_from([0.01, 1.0, 30.0]))
    raw = rng.normal(size=size) if levels is None else rng.integers(-levels, levels, size)
    return (raw * spread).astype(np.float32)


SAMPLINGS = st.builds(
    Sampling,
    temperature=st.sampled_from([0.0, 1e-7, 0.05, 0.7, 1.0, 2.0]),
    top_k=st.one_of(st.sampled_from([0, 1, 2, 40, 63, 64, 65, 2000]), st.integers(0, 80)),
    top_p=st.sampled_from([1.0, 1e-9, 0.1, 0.5, 0.95, 0.999999]),
    repetition_penalty=st.sampled_from([1.0, 1.3, 0.5]),
    seed=st.integers(0, (1 << 64) - 1),
)


@settings(max_examples=400, deadline=None)
@given(
    logits=logits_of_any_kind(),
    sampling=SAMPLINGS,
    seen=st.lists(st.integers(0, CANDIDATES - 1), max_size=5),
    order_of_ties=st.integers(0, 1 << 32),
)
def test_what_is_drawn_of_the_likeliest_is_what_is_drawn_of_all(
    logits: Logits, sampling: Sampling, seen: list[int], order_of_ties: int
) -> None:
    seen_ids = np.array(seen, dtype=np.int64)
    one, other = rng_from_seed(sampling.seed), rng_from_seed(sampling.seed)
    step = Step(logits)
    for _ in range(3):
        found = step.scores(order_of_ties).next_id(seen_ids, sampling, one)
        assert found == next_id(logits, seen_ids, sampling, other)
    assert one.bit_generator.state == other.bit_generator.state


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(),
        Sampling(temperature=1.0, top_k=1),
        Sampling(temperature=1.0, top_k=40),
        Sampling(temperature=0.7, top_k=63, top_p=0.9),
        Sampling(repetition_penalty=1.3),
        Sampling(temperature=1.0, top_k=40, repetition_penalty=1.3),
    ],
)
def test_where_the_likeliest_decide_nothing_else_is_fetched(sampling: Sampling) -> None:
    step = Step(np.random.default_rng(1).normal(size=VOCAB).astype(np.float32))
    assert asked(step, sampling) == drawn(step.logits, sampling)
    assert step.fetched == 0


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(temperature=1.0),
        Sampling(temperature=1.0, top_p=0.5),
        Sampling(temperature=1.0, top_k=CANDIDATES),
        Sampling(temperature=1.0, top_k=100),
        Sampling(repetition_penalty=1.3),
        Sampling(temperature=1.0, top_k=40, repetition_penalty=1.3),
    ],
)
def test_where_any_token_may_be_drawn_all_logits_are_fetched(sampling: Sampling) -> None:
    step = Step(np.random.default_rng(1).normal(size=VOCAB).astype(np.float32))
    assert asked(step, sampling, SEEN) == drawn(step.logits, sampling, SEEN)
    assert step.fetched == 1


def test_what_was_seen_is_of_no_matter_without_a_penalty() -> None:
    step = Step(falling(4, 3, 2))
    assert asked(step, Sampling(), SEEN) == 0
    assert step.fetched == 0


def test_of_equal_likeliest_the_lowest_id_is_taken_unfetched() -> None:
    step = Step(falling(1, 7, 2, 7, 7))
    assert {step.scores(order).next_id(SEEN, Sampling(), rng_from_seed(0)) for order in range(20)} == {1}
    assert step.fetched == 0


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(temperature=1.0, top_k=3)])
def test_a_tie_that_goes_on_beyond_the_candidates_is_fetched(sampling: Sampling) -> None:
    reaching_the_last = Step(falling(*[2.0] * CANDIDATES))
    ending_before = Step(falling(*[2.0] * (CANDIDATES - 1)))
    for step in (reaching_the_last, ending_before):
        assert asked(step, sampling) == drawn(step.logits, sampling)
    assert (reaching_the_last.fetched, ending_before.fetched) == (1, 0)


def test_all_that_tie_with_the_last_one_wanted_may_be_drawn() -> None:
    step, sampling = Step(falling(9, 5, 5, 5, 5, 1)), Sampling(temperature=2.0, top_k=2)
    rng = rng_from_seed(3)
    assert {step.scores().next_id(SEEN, sampling, rng) for _ in range(400)} == {0, 1, 2, 3, 4}
    assert step.fetched == 0


@pytest.mark.parametrize("place", [0, 1, CANDIDATES - 1])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("sampling", [Sampling(), Sampling(temperature=1.0, top_k=5)])
def test_a_candidate_that_is_no_number_is_a_fault_and_never_an_answer(
    place: int, value: float, sampling: Sampling
) -> None:
    step = Step(np.random.default_rng(2).normal(size=VOCAB).astype(np.float32))
    top = top_of(step.logits)
    top.values[0, 0, place] = step.logits[top.ids[0, 0, place]] = value
    with pytest.raises(MachineFault) as caught:
        Scores(step.fetch, top).next_id(NOTHING_SEEN, sampling, rng_from_seed(0))
    assert caught.value.code == NONFINITE_CODE
    assert caught.value.why == f"1 of {VOCAB} logits are NaN or infinite"


def test_all_logits_are_fetched_once_however_often_they_are_read() -> None:
    step = Step(falling(4, 3))
    scores = step.scores()
    assert step.fetched == 0
    assert scores.logits is scores.logits
    scores.next_id(SEEN, Sampling(temperature=1.0), rng_from_seed(0))
    assert step.fetched == 1


def test_without_candidates_all_logits_decide() -> None:
    logits = falling(1, 4, 3)
    scores = Scores.of(logits[None, None])
    assert scores.top is None
    assert scores.next_id(SEEN, Sampling(), rng_from_seed(0)) == 1
    assert np.array_equal(scores.logits[0, 0], logits)


@pytest.mark.parametrize(
    ("values", "sampling", "count"),
    [
        ([5, 4, 3, 2], Sampling(), 1),
        ([5, 5, 3, 2], Sampling(), 2),
        ([5, 5, 5, 5], Sampling(), 0),
        ([0.0, -0.0, -1, -2], Sampling(), 2),
        ([5, 4, 3, 2], Sampling(temperature=1.0, top_k=3), 3),
        ([5, 4, 4, 2], Sampling(temperature=1.0, top_k=2), 3),
        ([5, 4, 2, 2], Sampling(temperature=1.0, top_k=3), 0),
        ([5, 4, 3, 2], Sampling(temperature=1.0, top_k=4), 0),
        ([5, 4, 3, 2], Sampling(temperature=1.0), 0),
        ([5, 4, np.nan, 2], Sampling(), 0),
        ([5], Sampling(), 0),
    ],
)
def test_so_many_of_the_likeliest_decide(values: list[float], sampling: Sampling, count: int) -> None:
    assert deciding(np.array(values, dtype=np.float32), sampling) == count


@pytest.mark.parametrize("has_top", [False, True])
def test_every_place_of_several_is_chosen_from_as_if_it_were_alone(has_top: bool) -> None:
    logits = np.random.default_rng(2).normal(size=(2, 3, VOCAB)).astype(np.float32)
    ids = np.argsort(-logits, axis=-1)[..., :CANDIDATES]
    whole = Scores(lambda: logits, Top(np.take_along_axis(logits, ids, -1), ids) if has_top else None)
    for row in range(2):
        for place in range(3):
            one, rng = whole.row(row).place(place), rng_from_seed(0)
            assert one.next_id(NOTHING_SEEN, Sampling(), rng) == int(logits[row, place].argmax())
            assert np.array_equal(one.logits, logits[row : row + 1, place : place + 1])
