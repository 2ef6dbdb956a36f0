"""Is the bundle the same model as its checkpoint? The verdicts on every role and on the greedy tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edge_runtime.dialects import Dialect, FloatPrecision
from edge_runtime.spec import Role
from export.weight_parity import WeightParity


@dataclass(frozen=True)
class Bar:
    """What a role must reach. The relative difference is the largest one over the largest reference value."""

    cosine: float
    relative: float


BARS: dict[FloatPrecision, Bar] = {"fp32": Bar(0.999999, 1e-4), "fp16": Bar(0.9999, 1e-2)}


@dataclass(frozen=True)
class RoleParity:
    """How far one role is from the reference, over all inputs it was given."""

    role: Role
    dialect: Dialect | None  # the embedding table is the same in all of them
    cosine: float
    max_difference: float
    mean_difference: float
    relative: float
    bar: Bar

    @property
    def is_passed(self) -> bool:
        return self.cosine >= self.bar.cosine and self.relative <= self.bar.relative


@dataclass(frozen=True)
class GreedyParity:
    """How many greedy tokens agree. Where they part, `gap` is how much better the reference likes its own.

    Two different roundings may choose differently only where the reference itself is undecided within `allowed`.
    """

    prompt: str
    dialect: Dialect
    agreed: int
    tokens: int
    gap: float | None
    allowed: float

    @property
    def is_passed(self) -> bool:
        return self.gap is None or self.gap <= self.allowed


@dataclass(frozen=True)
class ParityReport:
    roles: tuple[RoleParity, ...]
    greedy: tuple[GreedyParity, ...]
    weights: tuple[WeightParity, ...]
    has_same_tokenizer: bool

    @property
    def is_passed(self) -> bool:
        checks: list[RoleParity | GreedyParity | WeightParity] = [*self.roles, *self.greedy, *self.weights]
        return self.has_same_tokenizer and all(each.is_passed for each in checks)


def agreed_tokens(wanted: Sequence[int], found: Sequence[int]) -> int:
    """How many leading tokens are the same."""
    for index, (left, right) in enumerate(zip(wanted, found, strict=False)):
        if left != right:
            return index
    return min(len(wanted), len(found))
