"""One answer while it grows: which token comes next, what of it is text, and when it is over."""

from __future__ import annotations

import numpy as np

from edge_runtime.answer import FinishReason
from edge_runtime.prompt import PromptTokens
from edge_runtime.request import Request
from edge_runtime.sampling import rng_from_seed
from edge_runtime.scores import Scores
from edge_runtime.textstream import TextStream
from edge_runtime.tokenizer import Tokenizer


class Saying:
    """At most `limit` tokens; the end token is left out, and the text ends before a stop string."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        prompt: PromptTokens,
        request: Request,
        stop_strings: tuple[str, ...],
        eos_id: int,
        limit: int,
    ) -> None:
        assert limit > 0, "the caller checks that an answer fits"
        self._text = TextStream(tokenizer, (*stop_strings, *request.stop))
        self._sampling = request.sampling
        self._rng = rng_from_seed(request.sampling.seed)
        self._eos_id = eos_id
        self._prompt = len(prompt)
        self._seen = np.empty(len(prompt) + limit, dtype=np.int64)
        self._seen[: len(prompt)] = prompt.ids
        self._limit = limit
        self._pieces: list[str] = []
        self.ids: list[int] = []
        self.reason: FinishReason | None = None

    @property
    def text(self) -> str:
        """As much of it as is certain."""
        return "".join(self._pieces)

    def hear(self, scores: Scores) -> str:
        """The text that the next token makes certain, often none; at the end all that was held back."""
        assert self.reason is None, "the answer is over"
        token = scores.next_id(self._seen[: self._prompt + len(self.ids)], self._sampling, self._rng)
        if token == self._eos_id:
            self._pieces.append(self._ended("stop"))
        else:
            self._seen[self._prompt + len(self.ids)] = token
            self.ids.append(token)
            self._pieces.append(self._text.feed(token))
            if self._text.is_stopped or len(self.ids) == self._limit:
                self._pieces[-1] += self._ended("stop" if self._text.is_stopped else "length")
        return self._pieces[-1]

    def _ended(self, reason: FinishReason) -> str:
        self.reason = reason
        return self._text.finish()
