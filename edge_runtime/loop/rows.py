"""The rows of one decoder's cache: each holds one conversation, some of them are being answered in."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import numpy as np

from edge_runtime.backends.backend import Array, DecoderGraph
from edge_runtime.prompt import common_prefix
from edge_runtime.scores import Scores
from edge_runtime.sequence import CHUNK_TOKENS, KVSequence
from edge_runtime.table import Table

LOSS = 0.25  # of a token that is thrown away, against one that need not be read


class Rows:
    """A row that is free keeps what it holds, for a prompt that begins as it does."""

    def __init__(self, decoder: DecoderGraph, table: Table, chunk_tokens: int = CHUNK_TOKENS) -> None:
        self._decoder = decoder
        self._table = table
        self.sequences = [KVSequence(decoder.row(row), table, chunk_tokens) for row in range(decoder.batch)]
        self._free = list(range(decoder.batch))  # the one that was freed first stands first

    @property
    def capacity(self) -> int:
        return self._decoder.capacity

    @property
    def held(self) -> int:
        """Places that hold something, of all rows."""
        return sum(len(sequence.keys) for sequence in self.sequences)

    @property
    def free_count(self) -> int:
        return len(self._free)

    def take(self, keys: Sequence[Hashable]) -> int:
        """The free row that holds most of the beginning of a prompt with these keys, if that is worth what else is lost of it; of
        equal ones that which was left longest ago."""
        assert self._free, "the caller looks whether there is one"
        best = max(self._free, key=lambda row: worth(self.sequences[row].keys, keys))
        self._free.remove(best)
        return best

    def give_back(self, row: int) -> None:
        assert row not in self._free, "a row is given back once"
        self._free.append(row)

    def forget(self) -> None:
        """After a fault nobody knows what the cache holds."""
        for sequence in self.sequences:
            sequence.keys.clear()

    def step(self, tokens: Mapping[int, int]) -> dict[int, Scores]:
        """One more token of each of these rows, in one pass of the decoder; what may follow each."""
        if len(tokens) == 1:
            ((row, token),) = tokens.items()
            return {row: self.sequences[row].append(token)}
        scores = self._decoder.step(self._embedded(tokens), self._places(tokens), self._first())
        for row, token in tokens.items():
            self.sequences[row].keys.append(token)
        return {row: scores.row(row) for row in tokens}

    def _embedded(self, tokens: Mapping[int, int]) -> Array:
        """(rows, 1, D); a row without a token is fed one that is forgotten."""
        ids = np.zeros(self._decoder.batch, dtype=np.int64)
        ids[list(tokens)] = list(tokens.values())
        return self._table[ids][:, None]

    def _places(self, tokens: Mapping[int, int]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """Behind what each row holds; a full row without a token loses its last."""
        for row, sequence in enumerate(self.sequences):
            if row not in tokens:
                del sequence.keys[self.capacity - 1 :]
        return np.array([len(sequence.keys) for sequence in self.sequences], dtype=np.int64)

    def _first(self) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
        return np.zeros((self._decoder.batch, 1), dtype=np.int64)


def worth(held: Sequence[Hashable], keys: Sequence[Hashable]) -> float:
    """All conversations begin alike, by a few words: for those alone none is thrown away while there is a row besides."""
    found = common_prefix(held, keys)
    return max(0.0, found - LOSS * (len(held) - found))
