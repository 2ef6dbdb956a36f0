"""The tokens of one answer, as they are chosen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edge_runtime.answer import FinishReason
from edge_runtime.constraint_matcher import Matcher, next_id_within
from edge_runtime.sampling import Ids, Sampling
from edge_runtime.scores import Scores


class Tokens:
    """At most `limit` ids, within what `matcher` allows. The end token is left out, and the answer ends where nothing but
    it is allowed; `reason` is why no more is chosen."""

    def __init__(
        self,
        prompt_ids: Sequence[int],
        sampling: Sampling,
        rng: np.random.Generator,
        eos_id: int,
        limit: int,
        matcher: Matcher | None = None,
    ) -> None:
        self._seen = np.empty(len(prompt_ids) + limit, dtype=np.int64)
        self._seen[: len(prompt_ids)] = prompt_ids
        self._prompt = len(prompt_ids)
        self._sampling = sampling
        self._rng = rng
        self._eos_id = eos_id
        self._limit = limit
        self._matcher = matcher
        self.ids: list[int] = []
        self.reason: FinishReason | None = None if limit > 0 else "length"

    @property
    def seen(self) -> Ids:
        """The prompt's and the answer's so far."""
        return self._seen[: self._prompt + len(self.ids)]

    @property
    def left(self) -> int:
        """How many more may be chosen."""
        return self._limit - len(self.ids)

    def choose(self, scores: Scores) -> int | None:
        """The next one; None where the answer ends instead."""
        assert self.reason is None, "the answer is over"
        token = self._next(scores)
        if token == self._eos_id:
            self.reason = "stop"
            return None
        self._seen[self._prompt + len(self.ids)] = token
        self.ids.append(token)
        if self._matcher is not None:
            self._matcher.take(token)
        if self._matcher is not None and self._matcher.is_ended:
            self.reason = "stop"
        elif len(self.ids) == self._limit:
            self.reason = "length"
        return token

    def _next(self, scores: Scores) -> int:
        if self._matcher is None:
            return scores.next_id(self.seen, self._sampling, self._rng)
        return next_id_within(self._matcher, scores.logits[0, 0], self.seen, self._sampling, self._rng)
