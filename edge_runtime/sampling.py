"""From logits to the next token: small pure functions over float32 logits (V,)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from edge_runtime.errors import EdgeVLError, MachineFault

Logits = npt.NDArray[np.float32]  # (V,) finite, or -inf where a token is ruled out
Ids = npt.NDArray[np.int64]  # (N,)

HOTTEST = 2.0
NONFINITE_CODE = "EVL-LOGITS-NONFINITE"
PENALTY_LIMITS = (0.01, 100.0)  # beyond these float32 logits overflow
LARGEST = np.finfo(np.float32).max
NOTHING_SEEN = np.empty(0, dtype=np.int64)
GREEDY_BELOW = 1e-6  # a positive temperature this low leaves one token float32 can tell apart


@dataclass(frozen=True)
class Sampling:
    """How the next token is drawn. Temperature 0 takes the most likely one; top_k 0 is no limit."""

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    seed: int | None = None

    def __post_init__(self) -> None:
        low, high = PENALTY_LIMITS
        check_number("temperature", self.temperature, lambda x: 0 <= x <= HOTTEST, f"0 to {HOTTEST:g}")
        check_number("top_p", self.top_p, lambda x: 0 < x <= 1, "more than 0, at most 1")
        check_number("top_k", self.top_k, lambda x: x >= 0, "0 (no limit) or more", whole=True)
        penalty = self.repetition_penalty
        check_number("repetition_penalty", penalty, lambda x: low <= x <= high, f"{low:g} to {high:g}")
        if self.seed is not None:
            check_number("seed", self.seed, lambda x: 0 <= x < 1 << 64, "0 to 2^64-1", whole=True)

    @property
    def is_greedy(self) -> bool:
        return self.temperature < GREEDY_BELOW or self.top_k == 1


class Candidates(NamedTuple):
    """The tokens that can be drawn, in the order of their ids."""

    ids: Ids | None  # (N,); None where every token can, so that the place is the id
    weights: Logits  # (N,) proportional to the probabilities, the largest is 1


def check_number(
    name: str, value: float, is_inside: Callable[[float], bool], wanted: str, whole: bool = False
) -> None:
    kinds: tuple[type, ...] = (int,) if whole else (int, float)
    # NaN is inside no range.
    if isinstance(value, kinds) and not isinstance(value, bool) and is_inside(value):
        return
    raise EdgeVLError(
        f"EVL-SAMPLING-{name.upper().replace('_', '-')}",
        f"{name} is out of range",
        f"got {value!r}, wanted {wanted}",
        f"give {name} a value in that range or leave it out",
    )


def rng_from_seed(seed: int | None) -> np.random.Generator:
    """The generator `next_id` draws from; the same seed gives the same draws on every machine."""
    return np.random.Generator(np.random.PCG64(seed))


def next_id(logits: Logits, seen_ids: Ids, sampling: Sampling, rng: np.random.Generator) -> int:
    """The next token. `seen_ids` are prompt and answer so far (repeats allowed); they are only
    looked at when there is a repetition penalty. Greedy never touches `rng`; of equal logits it
    takes the lowest id. Raises MachineFault EVL-LOGITS-NONFINITE.
    """
    assert logits.ndim == 1
    assert logits.dtype == np.float32
    check_finite(logits)
    if sampling.is_greedy:
        return int(np.argmax(penalised(logits, seen_ids, sampling.repetition_penalty)))
    ids, weights = candidates_from_logits(logits, seen_ids, sampling)
    place = draw(weights, rng.random())
    return place if ids is None else int(ids[place])


def id_among(ids: Ids, logits: Logits, sampling: Sampling, rng: np.random.Generator) -> int:
    """As `next_id` of all logits, told only of those that can be drawn, in the order of their ids, and without a
    penalty."""
    if sampling.is_greedy:
        return int(ids[np.argmax(logits)])
    kept, weights = candidates_from_logits(logits, NOTHING_SEEN, replace(sampling, top_k=0))
    place = draw(weights, rng.random())
    return int(ids[place if kept is None else kept[place]])


def candidates_from_logits(logits: Logits, seen_ids: Ids, sampling: Sampling) -> Candidates:
    """Penalty, temperature, top-k, top-p, in that order; the temperature must not be 0."""
    logits = penalised(logits, seen_ids, sampling.repetition_penalty)
    ids: Ids | None = None
    if 0 < sampling.top_k < logits.size:
        ids = top_k_ids(logits, sampling.top_k)
        logits = logits[ids]
    weights = weights_from_logits(logits, sampling.temperature)
    if sampling.top_p < 1.0:
        kept = nucleus(weights, sampling.top_p)
        ids, weights = kept if ids is None else ids[kept], weights[kept]
    return Candidates(ids, weights)


def check_finite(logits: Logits) -> None:
    # Minimum and maximum carry NaN along, and need no array of their own as isfinite would.
    if math.isfinite(logits.min()) and math.isfinite(logits.max()):
        return
    raise MachineFault(
        NONFINITE_CODE,
        "the model's output is not a number",
        f"{np.count_nonzero(~np.isfinite(logits))} of {logits.size} logits are NaN or infinite",
        "run `edge-vl verify` on the bundle; export with --images DIR to find layers that overflow fp16, or with --precision fp32",
    )


def penalised(logits: Logits, seen_ids: Ids, penalty: float) -> Logits:
    """Logits of seen tokens divided by the penalty, or multiplied where negative; a copy if any."""
    if penalty == 1.0 or seen_ids.size == 0:
        return logits
    result: Logits = logits.copy()
    seen = logits[seen_ids]  # a repeated id is written several times with one value
    with np.errstate(over="ignore"):
        changed = np.where(seen < 0, seen * np.float32(penalty), seen / np.float32(penalty))
    result[seen_ids] = np.clip(changed, -LARGEST, LARGEST)
    return result


def top_k_ids(logits: Logits, top_k: int) -> Ids:
    """The ids of the k largest logits; all that tie with the k-th are kept."""
    kth = np.partition(logits, logits.size - top_k)[logits.size - top_k]
    return np.flatnonzero(logits >= kth)


def weights_from_logits(logits: Logits, temperature: float) -> Logits:
    """exp((logits - max) / temperature): a softmax before its division; the largest is 1."""
    # After the subtraction only -inf can come of an overflow, whose weight is rightly 0.
    with np.errstate(over="ignore"):
        scaled: Logits = (logits - logits.max()) / np.float32(temperature)
    np.exp(scaled, out=scaled)
    return scaled


def nucleus(weights: Logits, top_p: float) -> Ids:
    """Places of the likeliest that together reach `top_p`, at least one; of equal ones the first."""
    total = float(weights.sum(dtype=np.float64))
    # Entries below this weigh less than 1 - top_p even all together: none can be in the nucleus.
    inside = np.flatnonzero(weights >= (1.0 - top_p) * total / weights.size)
    candidates = weights[inside]
    # Values are sorted, not places: that is faster, and nobody needs the nucleus in order.
    falling = np.sort(candidates)[::-1]
    reach = int(np.searchsorted(np.cumsum(falling, dtype=np.float64), top_p * total, side="left"))
    count = min(reach + 1, falling.size)
    is_kept = candidates >= falling[count - 1]
    if surplus := int(np.count_nonzero(is_kept)) - count:
        last_ties = np.flatnonzero(candidates == falling[count - 1])[-surplus:]
        is_kept[last_ties] = False
    kept: Ids = inside[is_kept]
    return kept


def draw(weights: Logits, fraction: float) -> int:
    """The place at this fraction, 0 to 1, of the whole weight; never one without weight."""
    sums = np.cumsum(weights, dtype=np.float64)
    # The first entry that reaches the total is the last with any weight.
    last = int(np.searchsorted(sums, sums[-1], side="left"))
    return min(int(np.searchsorted(sums, fraction * sums[-1], side="right")), last)
