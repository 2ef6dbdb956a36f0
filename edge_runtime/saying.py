"""One answer while it grows: what of it is text, and when it is over."""

from __future__ import annotations

from edge_runtime.answer import FinishReason, Piece
from edge_runtime.chance import TokenScore, score_from_logits
from edge_runtime.constraint_grammar import GrammarMatcher
from edge_runtime.prompt import PromptTokens
from edge_runtime.request import Request
from edge_runtime.sampling import Ids, rng_from_seed
from edge_runtime.scores import Scores
from edge_runtime.textstream import TextStream
from edge_runtime.tokenizer import Tokenizer
from edge_runtime.tokens import Tokens

NOTHING = Piece("")


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
        lead, own = (matcher.lead, ()) if matcher else ("", stop_strings)
        self._text = TextStream(tokenizer, request.stop, lead=lead, own_stops=own)
        rng = rng_from_seed(request.sampling.seed)
        self._tokens = Tokens(prompt.ids, request.sampling, rng, eos_id, limit, matcher)
        self._pieces: list[str] = []
        self._logprobs = request.logprobs
        self._scores: list[TokenScore] = []
        self._told = 0  # of the scores
        self.reason: FinishReason | None = None

    @property
    def ids(self) -> list[int]:
        return self._tokens.ids

    @property
    def seen(self) -> Ids:
        """The prompt's ids and the answer's."""
        return self._tokens.seen

    @property
    def left(self) -> int:
        """How many more tokens there may be."""
        return self._tokens.left

    @property
    def text(self) -> str:
        """As much of it as is certain."""
        return "".join(self._pieces)

    @property
    def logprobs(self) -> tuple[TokenScore, ...] | None:
        """Of every token, where they were asked for."""
        return None if self._logprobs is None else tuple(self._scores)

    def hear(self, scores: Scores) -> Piece:
        """The text that the next token makes certain, often none; at the end all that was held back."""
        assert self.reason is None, "the answer is over"
        token = self._tokens.choose(scores)
        if token is not None and self._logprobs is not None:
            self._scores.append(score_from_logits(scores.logits[0, 0], token, self._logprobs))
        text = "" if token is None else self._text.feed(token)
        self.reason = "stop" if self._text.is_stopped else self._tokens.reason
        if self.reason is not None:
            text += self._text.finish()
        self._pieces.append(text)
        return self._piece(text)

    def _piece(self, text: str) -> Piece:
        if not text and self.reason is None:
            return NOTHING
        fresh, self._told = tuple(self._scores[self._told :]), len(self._scores)
        return Piece(text, fresh)
