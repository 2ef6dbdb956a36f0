"""A decoder of a few lines that needs its cache: the next token follows from every token before it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from edge_runtime.backends.backend import Array, Floats, Ints
from edge_runtime.embedding import EmbeddedPrompt
from edge_runtime.prompt import PromptTokens
from edge_runtime.scores import Scores

VOCAB = 97


@dataclass
class FakeDecoder:
    """Row i of its embedding table is [i]. `fails_at` is the step that breaks down after it wrote half its rows."""

    capacity: int = 64
    batch: int = 1
    fails_at: int | None = None
    fed: list[tuple[int, list[int]]] = field(default_factory=list)  # (first cache row, ids)

    def __post_init__(self) -> None:
        self.cache = np.zeros(self.capacity, dtype=np.int64)

    @property
    def steps(self) -> int:
        return len(self.fed)

    def row(self, row: int) -> FakeDecoder:
        assert row == 0 and self.batch == 1
        return self

    def step(self, embeds: Array, write_index: Ints, logit_index: Ints) -> Scores:
        assert embeds.shape[0] == self.batch == 1
        ids = embeds[0, :, 0].astype(np.int64)
        start = int(write_index[0])
        stop = start + len(ids)
        assert stop <= self.capacity
        self.fed.append((start, ids.tolist()))
        if self.fails_at == self.steps:
            self.cache[start : start + len(ids) // 2] = ids[: len(ids) // 2]
            raise MemoryError
        self.cache[start:stop] = ids
        logits = np.zeros((1, logit_index.shape[1], VOCAB), dtype=np.float32)
        for place, row in enumerate(logit_index[0]):
            logits[0, place, next_token(self.cache[: start + int(row) + 1])] = 1.0
        return Scores.of(logits)


def next_token(held: Ints) -> int:
    """Depends on every id and its place, and never says the same twice running."""
    return int((held * np.arange(1, len(held) + 1)).sum() * 31 + 7) % VOCAB


def table() -> Floats:
    return np.arange(VOCAB, dtype=np.float32)[:, None]


def embedded(*ids: int) -> EmbeddedPrompt:
    return EmbeddedPrompt(PromptTokens(ids, (), 1), table(), [], [])
