"""What one question costs, from its coming to its end."""

from __future__ import annotations

import math
from collections.abc import Callable

from edge_runtime.server.instruments import FINISHES, OTHER, PICTURE_STAGES, STAGES, Bounded, Instruments
from edge_runtime.server.said import Done

CORRUPTED = "EVL-LOGITS-NONFINITE"


class Watch:
    """Ends once, by `done`, `failed` or `left`; whatever comes after an end changes nothing."""

    def __init__(self, instruments: Instruments, codes: Bounded, clock: Callable[[], float]) -> None:
        self._instruments = instruments
        self._codes = codes
        self._clock = clock
        self._started = clock()
        self._last_piece: float | None = None
        self._tokens = self._counted = 0
        self._is_over = False
        instruments.in_flight.inc()

    def piece(self, tokens: int = 1) -> None:
        """Text came, made of so many tokens; the first is the first token."""
        if self._is_over or tokens < 1:
            return
        now = self._clock()
        if self._last_piece is None:
            self._instruments.first_token.observe(seconds(now - self._started))
        else:
            for _ in range(tokens):
                self._instruments.inter_token.observe(seconds(now - self._last_piece) / tokens)
        self._last_piece = now
        self._count(self._tokens)
        self._tokens += tokens

    def done(self, done: Done) -> None:
        reason = done.finish_reason
        if not self._ended(reason if reason in FINISHES else OTHER):
            return
        self._count(done.completion_tokens)
        told = self._instruments
        told.prompt_tokens.inc(done.prompt_tokens)
        told.image_tokens.inc(done.image_tokens)
        told.cached_tokens.inc(done.cached_tokens)
        told.request_prompt_tokens.observe(done.prompt_tokens)
        told.request_generation_tokens.observe(done.completion_tokens)
        told.request.observe(seconds(self._clock() - self._started))
        for stage, spent_ms in done.timings_ms.items():
            self._observe(stage, seconds(spent_ms / 1000))

    def failed(self, code: str) -> None:
        """An error ended it."""
        if not self._ended("error"):
            return
        self._count(self._tokens)
        self._instruments.failed.labels(self._codes(code)).inc()
        if code == CORRUPTED:
            self._instruments.corrupted.inc()

    def left(self) -> None:
        """Whoever asked went away."""
        if self._ended("abort"):
            self._count(self._tokens)

    def _ended(self, reason: str) -> bool:
        if self._is_over:
            return False
        self._is_over = True
        self._instruments.in_flight.dec()
        self._instruments.finished.labels(reason).inc()
        return True

    def _count(self, tokens: int) -> None:
        # One piece behind: a last piece may be text that was held back, without a token of its own.
        if tokens > self._counted:
            self._instruments.generation_tokens.inc(tokens - self._counted)
            self._counted = tokens

    def _observe(self, stage: str, spent_s: float) -> None:
        if stage == "total" or (stage in PICTURE_STAGES and not spent_s):
            return  # a question without a picture says nothing of what pictures take
        self._instruments.stage.labels(stage if stage in STAGES else OTHER).observe(spent_s)


def seconds(spent_s: float) -> float:
    """What a sum can take: one NaN would stay in it for good."""
    return spent_s if math.isfinite(spent_s) and spent_s > 0 else 0.0
