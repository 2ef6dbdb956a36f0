"""One conversation's place in the KV cache, and the loop that extends it."""

from __future__ import annotations

from collections.abc import Hashable, Iterator

import numpy as np

from edge_runtime.backends.backend import Array, DecoderGraph, Ints
from edge_runtime.embedding import EmbeddedPrompt
from edge_runtime.prompt import common_prefix
from edge_runtime.sampling import Sampling
from edge_runtime.scores import Scores
from edge_runtime.table import Table
from edge_runtime.tokens import Tokens

CHUNK_TOKENS = 512  # bounds the activations of a long prompt


class KVSequence:
    """A one-row decoder and the keys of what its cache holds.

    A key says what decided a cache row (a text id, or an image's hash and row), so the longest common
    prefix with the next prompt need not be computed again.
    """

    def __init__(self, decoder: DecoderGraph, table: Table, chunk_tokens: int = CHUNK_TOKENS) -> None:
        assert decoder.batch == 1, "a sequence is one row"
        self.decoder = decoder
        self.table = table
        self.chunk_tokens = chunk_tokens
        self.keys: list[Hashable] = []

    @property
    def capacity(self) -> int:
        return self.decoder.capacity

    def prefill(self, prompt: EmbeddedPrompt) -> tuple[Scores, int]:
        """What may follow the prompt, and how many of its tokens were in the cache already."""
        cached = self.begin(prompt)
        scores = self.extend(prompt)
        while len(self.keys) < len(prompt):
            scores = self.extend(prompt)
        return scores, cached

    def begin(self, prompt: EmbeddedPrompt) -> int:
        """How many of the prompt's tokens the cache holds; the others are for `extend`."""
        assert 0 < len(prompt) <= self.capacity, "the caller checks that a prompt fits"
        # The last token is always fed again: its logits are what the caller wants.
        cached = min(common_prefix(self.keys, prompt.keys), len(prompt) - 1)
        del self.keys[cached:]
        return cached

    def extend(self, prompt: EmbeddedPrompt, most: int | None = None) -> Scores:
        """The next piece of a prompt that was begun, of at most so many tokens; what may follow it."""
        start = len(self.keys)
        stop = min(start + min(most or self.chunk_tokens, self.chunk_tokens), len(prompt))
        scores = self._feed(prompt.rows(start, stop), np.array([stop - start - 1], dtype=np.int64))
        self.keys.extend(prompt.keys[start:stop])
        return scores

    def append(self, *token_ids: int) -> Scores:
        """What may follow each of these more tokens."""
        ids = np.array(token_ids, dtype=np.int64)
        scores = self._feed(self.table[ids][None], np.arange(ids.size, dtype=np.int64))
        self.keys.extend(token_ids)
        return scores

    def _feed(self, rows: Array, wanted: Ints) -> Scores:
        start = np.array([len(self.keys)], dtype=np.int64)
        return self.decoder.step(rows, start, wanted[None])


def generate(
    sequence: KVSequence,
    scores: Scores,
    seen_ids: tuple[int, ...],
    sampling: Sampling,
    rng: np.random.Generator,
    eos: int,
    limit: int,
) -> Iterator[int]:
    """At most `limit` ids that follow; `scores` are of the first. The end token is left out and costs no step."""
    tokens = Tokens(seen_ids, sampling, rng, eos, limit)
    while tokens.reason is None and (token := tokens.choose(scores)) is not None:
        yield token
        if tokens.reason is None:
            scores = sequence.append(token)
