"""An answer: its text, its tokens, what it cost."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Literal

from edge_runtime.chance import TokenScore
from edge_runtime.errors import EdgeVLError

FinishReason = Literal["stop", "length"]


@dataclass(frozen=True)
class Usage:
    prompt_tokens: int
    image_tokens: int  # of the prompt's
    cached_tokens: int  # of the prompt's, found in the KV cache
    completion_tokens: int


@dataclass(frozen=True)
class Piece:
    """Text that became certain, never half a character. `scores`, where asked for, are of the tokens since the piece
    before: those that were held back come with what releases them."""

    text: str
    scores: tuple[TokenScore, ...] = ()


@dataclass(frozen=True)
class Answer:
    """`token_ids` are the new ones only, without the end token; `text` ends before a stop string. `logprobs`, where asked
    for, has one score a token."""

    text: str
    token_ids: tuple[int, ...]
    finish_reason: FinishReason
    usage: Usage
    timings_ms: dict[str, float]
    tokens_per_s: float
    engine: str
    engine_reason: str
    precision: dict[str, str]
    peak_rss_mib: float
    logprobs: tuple[TokenScore, ...] | None = None

    def to_json(self) -> dict[str, object]:
        """The contract's keys; `logprobs` besides where they were asked for."""
        found: dict[str, object] = {**asdict(replace(self, logprobs=None)), "token_ids": list(self.token_ids)}
        del found["logprobs"]
        return (
            found
            if self.logprobs is None
            else {**found, "logprobs": list(map(json_from_score, self.logprobs))}
        )


def json_from_score(score: TokenScore) -> dict[str, object]:
    return {**score.chosen._asdict(), "likeliest": [each._asdict() for each in score.likeliest]}


class AnswerStream:
    """Pieces of text as they become certain; `answer` is complete once they are used up."""

    def __init__(self, pieces: Generator[str, None, Answer]) -> None:
        self._pieces = pieces
        self._answer: Answer | None = None

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        try:
            return next(self._pieces)
        except StopIteration as end:
            self._answer = self._answer or end.value
            raise StopIteration from None

    @property
    def answer(self) -> Answer:
        """The whole answer; runs what is left of the stream."""
        for _ in self:
            pass
        if self._answer is None:
            raise EdgeVLError(
                "EVL-STREAM-CLOSED",
                "there is no whole answer",
                "the stream was closed, or failed, before its end",
                "read the pieces instead, or ask again",
            )
        return self._answer

    def close(self) -> None:
        """Ends the answer here; nothing more is computed."""
        self._pieces.close()
