"""The next token among those that a matcher allows."""

from __future__ import annotations

import numpy as np
import pytest

from edge_runtime.constraint_matcher import next_id_within
from edge_runtime.errors import MachineFault
from edge_runtime.sampling import NOTHING_SEEN, Ids, Sampling, rng_from_seed


class Few:
    """A matcher that always allows the same tokens."""

    is_ended = False

    def __init__(self, *ids: int) -> None:
        self.ids = np.array(ids)

    def allowed(self) -> Ids:
        return self.ids

    def take(self, token: int) -> None:
        assert token in self.ids


def test_tokens_that_are_ruled_out_count_for_nothing_in_top_k_and_top_p() -> None:
    logits = np.array([9.0, 8.0, 3.0, 2.0, 1.0, 7.0], dtype=np.float32)
    for sampling in (Sampling(1.0, top_k=2), Sampling(1.0, top_p=0.9)):
        drawn = {
            next_id_within(Few(2, 3, 4), logits, NOTHING_SEEN, sampling, rng_from_seed(seed))
            for seed in range(80)
        }
        assert drawn == {2, 3}
    assert next_id_within(Few(2, 3, 4), logits, NOTHING_SEEN, Sampling(), rng_from_seed(0)) == 2


def test_the_repetition_penalty_counts_among_the_allowed() -> None:
    logits = np.array([9.0, 1.0, 0.9], dtype=np.float32)
    seen = np.array([1])
    assert next_id_within(Few(1, 2), logits, seen, Sampling(repetition_penalty=2.0), rng_from_seed(0)) == 2


def test_logits_that_are_no_numbers_are_told_even_where_they_are_ruled_out() -> None:
    logits = np.array([np.nan, 1.0], dtype=np.float32)
    with pytest.raises(MachineFault, match="EVL-LOGITS-NONFINITE"):
        next_id_within(Few(1), logits, NOTHING_SEEN, Sampling(), rng_from_seed(0))
