"""How near a quantised bundle's words are to those of the float bundle it was made from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from calibration.answers import Answers
from calibration.speaker import Ids, Logits, Speaker
from edge_runtime.bundle import Bundle
from edge_runtime.dialects import Dialect
from edge_runtime.progress import Progress


@dataclass(frozen=True)
class Likeness:
    """Of one answer: the float model's greedy tokens, and what the quantised model thinks at each of their places."""

    sample: str
    tokens: int
    kl: float  # mean of KL(float || quantised) in nats; infinite where the quantised model is broken
    top1: float  # share of places where the likeliest token is the same
    agreed: int  # greedy tokens until the first that differs
    kl_at: tuple[float, ...] = ()  # at each place, to as many digits as a picture shows
    differs_at: tuple[int, ...] = ()  # places where the likeliest token is another


@dataclass(frozen=True)
class Agreement:
    answers: tuple[Likeness, ...]

    @property
    def kl(self) -> float:
        return self._mean([each.kl for each in self.answers])

    @property
    def top1(self) -> float:
        return self._mean([each.top1 for each in self.answers])

    @property
    def agreed(self) -> float:
        """Share of the float model's greedy tokens that come before the first difference."""
        return sum(each.agreed for each in self.answers) / sum(each.tokens for each in self.answers)

    def _mean(self, values: Sequence[float]) -> float:
        weights = [each.tokens for each in self.answers]
        return float(np.average(values, weights=weights))


def agreement_of(
    answers: Answers, after: Bundle, dialect: Dialect, threads: int, progress: Progress
) -> Agreement:
    """`answers` are the float model's: the two models are never in memory together."""
    found = list[Likeness]()
    with Speaker(after, dialect, threads) as speaker:
        for done, (sample, ids, wanted) in enumerate(answers.compared):
            progress("answering quantised", done, len(answers.compared))
            found.append(likeness_of(sample.name, ids, wanted, speaker.thoughts(sample, ids)))
    return Agreement(tuple(found))


def likeness_of(name: str, ids: Ids, wanted: Logits, found: Logits) -> Likeness:
    if not np.isfinite(found).all():
        return Likeness(name, len(ids), math.inf, 0.0, 0)
    is_same = found.argmax(axis=-1) == wanted.argmax(axis=-1)
    parted = np.flatnonzero(~is_same)
    expected = log_softmax(wanted)
    divergence = (np.exp(expected) * (expected - log_softmax(found))).sum(axis=-1)
    divergence = np.maximum(divergence, 0.0)  # where nothing differs, rounding may leave a hair less
    agreed = int(parted[0]) if parted.size else len(ids)
    kl, top1 = float(divergence.mean()), float(is_same.mean())
    kl_at = tuple(float(f"{each:.3g}") for each in divergence)
    return Likeness(name, len(ids), kl, top1, agreed, kl_at, tuple(parted.tolist()))


def log_softmax(logits: Logits) -> npt.NDArray[np.float64]:
    wide = logits.astype(np.float64)
    wide -= wide.max(axis=-1, keepdims=True)
    normal: npt.NDArray[np.float64] = wide - np.log(np.exp(wide).sum(axis=-1, keepdims=True))
    return normal
