"""What the engine says of one question, event by event, as it reaches the front end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class TokenChance:
    """A token and the logarithm of its probability. `raw` is what it adds to the text, in bytes: often half a character."""

    id: int
    raw: bytes
    logprob: float


@dataclass(frozen=True)
class TokenScore:
    """A token that was chosen, and the likeliest of its place, falling."""

    chosen: TokenChance
    likeliest: tuple[TokenChance, ...] = ()


@dataclass(frozen=True)
class Piece:
    """Text that became certain, never half a character; `scores` are of the tokens since the piece before, if asked for."""

    text: str
    scores: tuple[TokenScore, ...] = ()


@dataclass(frozen=True)
class Done:
    """The last event of an answer. `timings_ms` are by stage, `total` among them."""

    finish_reason: str  # stop or length
    prompt_tokens: int
    image_tokens: int
    cached_tokens: int
    completion_tokens: int
    timings_ms: Mapping[str, float] = field(default_factory=dict)
    tokens_per_s: float = 0.0


Event = Piece | Done
