"""How much of a prompt is read in one go: nobody else gets a word in meanwhile."""

from __future__ import annotations

from dataclasses import dataclass

from edge_runtime.backends.provider import CPU
from edge_runtime.sequence import CHUNK_TOKENS

NEWEST_SHARE = 0.2  # of the running average


@dataclass(frozen=True)
class PieceRules:
    """A piece takes about `target_s`, but has at least `least` tokens."""

    least: int
    target_s: float = 0.005


class Pace:
    """Learns how fast prompts are read."""

    def __init__(self, rules: PieceRules) -> None:
        self._rules = rules
        self._tokens_per_s = 0.0

    def tokens(self) -> int:
        """Of the next piece, at most."""
        return max(self._rules.least, int(self._tokens_per_s * self._rules.target_s))

    def took(self, tokens: int, seconds: float) -> None:
        if tokens < self._rules.least or seconds <= 0:  # the end of a prompt says little
            return
        rate = tokens / seconds
        known = self._tokens_per_s or rate
        self._tokens_per_s = known + NEWEST_SHARE * (rate - known)


def rules_for(engine: str) -> PieceRules:
    """On the CPU a token costs no more in a piece of 64 than in one of 512, with four-bit weights too (docs/decisions.md). Elsewhere a long
    piece should cost little more than a short one, which was not measured: they keep long ones."""
    return PieceRules(64) if engine == CPU.engine else PieceRules(CHUNK_TOKENS)
