"""One answer while it grows: what of it is text, and when it is over."""

from __future__ import annotations

from edge_runtime.answer import FinishReason
from edge_runtime.constraint_grammar import GrammarMatcher
from edge_runtime.prompt import PromptTokens
from edge_runtime.request import Request
from edge_runtime.sampling import rng_from_seed
from edge_runtime.scores import Scores
from edge_runtime.textstream import TextStream
from edge_runtime.tokenizer import Tokenizer
from edge_runtime.tokens import Tokens


class Saying:
    """At most `limit` tokens; the text ends before a stop string."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        prompt: PromptTokens,
        request: Request,
        stop_strings: tuple[str, ...],
        eos_id: int,
        limit: int,
        matcher: GrammarMatcher | None = None,
    ) -> None:
        # The model's own stop strings would cut a text that a constraint allows.
        self._text = TextStream(tokenizer, (*(() if matcher else stop_strings), *request.stop))
        rng = rng_from_seed(request.sampling.seed)
        self._tokens = Tokens(prompt.ids, request.sampling, rng, eos_id, limit, matcher)
        self._matcher = matcher
        self._pieces: list[str] = []
        self.reason: FinishReason | None = None

    @property
    def ids(self) -> list[int]:
        return self._tokens.ids

    @property
    def text(self) -> str:
        """As much of it as is certain."""
        return "".join(self._pieces)

    def hear(self, scores: Scores) -> str:
        """The text that the next token makes certain, often none; at the end all that was held back."""
        assert self.reason is None, "the answer is over"
        token = self._tokens.choose(scores)
        piece = "" if token is None else self._text.feed(token)
        self.reason = "stop" if self._text.is_stopped else self._tokens.reason
        if self.reason is not None:
            piece += self._text.finish()
        self._pieces.append(piece if self._matcher is None else self._matcher.trimmed(piece))
        return self._pieces[-1]
