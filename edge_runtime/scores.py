"""What a step says of the next tokens: all logits, or, where an engine hands them over, the few likeliest at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from edge_runtime.sampling import Ids, Logits, Sampling, id_among, next_id

Rows = npt.NDArray[np.float32]


class Top(NamedTuple):
    """The likeliest tokens of every row, falling: values (B, K, T) and their ids (B, K, T)."""

    values: Rows
    ids: Ids


class Scores:
    """Of the rows of one step; to be read before the decoder's next one. `fetch` brings all logits (B, K, V)."""

    def __init__(self, fetch: Callable[[], Rows], top: Top | None = None) -> None:
        self._fetch = fetch
        self._logits: Rows | None = None
        self.top = top

    @classmethod
    def of(cls, logits: Rows) -> Scores:
        return cls(lambda: logits)

    @property
    def logits(self) -> Rows:
        """(B, K, V); fetched when first asked for."""
        if self._logits is None:
            self._logits = self._fetch()
        return self._logits

    def row(self, row: int) -> Scores:
        """Of one sequence alone."""
        place = slice(row, row + 1)
        top = None if self.top is None else Top(self.top.values[place], self.top.ids[place])
        return Scores(lambda: self.logits[place], top)

    def place(self, place: int) -> Scores:
        """Of one of the rows of every sequence alone."""
        wanted = slice(place, place + 1)
        top = None if self.top is None else Top(self.top.values[:, wanted], self.top.ids[:, wanted])
        return Scores(lambda: self.logits[:, wanted], top)

    def next_id(self, seen_ids: Ids, sampling: Sampling, rng: np.random.Generator) -> int:
        """As `sampling.next_id`, of the only row; without all the logits where the likeliest decide."""
        if self.top is not None:
            values, ids = self.top.values[0, 0], self.top.ids[0, 0]
            count = deciding(values, sampling)
            if count and (sampling.repetition_penalty == 1.0 or seen_ids.size == 0):
                order = np.argsort(ids[:count])
                return id_among(ids[:count][order], values[:count][order], sampling, rng)
        return next_id(self.logits[0, 0], seen_ids, sampling, rng)


def deciding(values: Logits, sampling: Sampling) -> int:
    """How many of the likeliest may be drawn; 0 where others might be as likely, or where a value is no number: all
    logits tell then what is the matter."""
    wanted = 1 if sampling.is_greedy else sampling.top_k
    if not 0 < wanted < values.size or not np.isfinite(values).all():
        return 0
    # What ties with the last one wanted counts as much as it does.
    count = int(np.searchsorted(-values, -values[wanted - 1], side="right"))
    return count if count < values.size else 0
