"""How likely the chosen tokens were, and what else was likely in their place."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from edge_runtime.sampling import Ids, Logits, check_finite

LEAST = -9999.0  # what is told of a token that cannot be: no JSON has an infinity


class TokenChance(NamedTuple):
    """`logprob` is the natural logarithm of the model's own probability, `LEAST` or more: of the logits as they are,
    before penalties, temperature, top-k, top-p and constraints."""

    id: int
    logprob: float


class TokenScore(NamedTuple):
    """A token that was chosen, and the likeliest of its place, falling; of equal ones the lowest id first."""

    chosen: TokenChance
    likeliest: tuple[TokenChance, ...] = ()


def score_from_logits(logits: Logits, token: int, count: int) -> TokenScore:
    """Raises MachineFault EVL-LOGITS-NONFINITE."""
    check_finite(logits)
    wide = logits.astype(np.float64)
    peak = wide.max()
    norm = float(peak + np.log(np.exp(wide - peak).sum()))
    return TokenScore(
        chance_of(logits, token, norm),
        tuple(chance_of(logits, each, norm) for each in likeliest(logits, count)),
    )


def chance_of(logits: Logits, token: int, norm: float) -> TokenChance:
    # Rounding may bring the only likely token a hair above certainty.
    return TokenChance(token, min(max(float(logits[token]) - norm, LEAST), 0.0))


def likeliest(logits: Logits, count: int) -> list[int]:
    if count == 0:
        return []
    kept: Ids = np.flatnonzero(logits >= kth_largest(logits, min(count, logits.size)))
    # The order of ids is kept among equals: the sort is stable.
    order = np.argsort(-logits[kept], kind="stable")[:count]
    return [int(each) for each in kept[order]]


def kth_largest(logits: Logits, count: int) -> float:
    return float(np.partition(logits, logits.size - count)[logits.size - count])
