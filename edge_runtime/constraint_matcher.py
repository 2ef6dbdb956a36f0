"""Which tokens an answer may go on with, and the next one among them."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

import numpy as np

from edge_runtime.sampling import (
    NOTHING_SEEN,
    Ids,
    Logits,
    Sampling,
    candidates_from_logits,
    check_finite,
    draw,
    penalised,
)


class Matcher(Protocol):
    """Where one answer stands under its constraint."""

    def allowed(self) -> Ids:
        """The tokens that may follow, rising, at least one; the end token among them where the answer may end."""

    def take(self, token: int) -> None:
        """The answer goes on with an allowed token, which is not the end token."""

    @property
    def is_ended(self) -> bool:
        """Whether the answer is complete and nothing but the end token may follow."""


def next_id_within(
    matcher: Matcher, logits: Logits, seen_ids: Ids, sampling: Sampling, rng: np.random.Generator
) -> int:
    """As `sampling.next_id`, with all other tokens ruled out: theirs count for nothing, top-k and top-p included."""
    check_finite(logits)
    ids = matcher.allowed()
    logits = penalised(logits, seen_ids, sampling.repetition_penalty)[ids]
    if sampling.is_greedy:
        return int(ids[np.argmax(logits)])
    free = replace(sampling, repetition_penalty=1.0)
    kept, weights = candidates_from_logits(logits, NOTHING_SEEN, free)
    place = draw(weights, rng.random())
    return int(ids[place if kept is None else kept[place]])
