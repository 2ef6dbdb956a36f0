"""An answer: its text, its tokens, what it cost."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import asdict, dataclass
from typing import Literal

from edge_runtime.errors import EdgeVLError

FinishReason = Literal["stop", "length"]


@dataclass(frozen=True)
class Usage:
    prompt_tokens: int
    image_tokens: int  # of the prompt's
    cached_tokens: int  # of the prompt's, found in the KV cache
    completion_tokens: int


@dataclass(frozen=True)
class Answer:
    """`token_ids` are the new ones only, without the end token; `text` ends before a stop string."""

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

    def to_json(self) -> dict[str, object]:
        return {**asdict(self), "token_ids": list(self.token_ids)}


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
