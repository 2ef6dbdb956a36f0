"""How answers of one model begin: what fits, where they end, what they are held to."""

from __future__ import annotations

from threading import Lock

from edge_runtime.constraint_grammar import Grammar, GrammarMatcher
from edge_runtime.constraint_vocabulary import Vocabulary
from edge_runtime.draft import Drafter, DraftRules
from edge_runtime.prompt import PromptTokens, check_fits
from edge_runtime.request import DEFAULT_MAX_TOKENS, Request
from edge_runtime.saying import Saying
from edge_runtime.speaker import Speaker
from edge_runtime.spec import ModelSpec
from edge_runtime.tokenizer import Tokenizer

NO_END = -1


class Voice:
    """Of any thread. `drafts` is how an answer that is said alone is guessed ahead; None feeds one token at a step."""

    def __init__(
        self, tokenizer: Tokenizer, spec: ModelSpec, capacity: int, drafts: DraftRules | None = None
    ) -> None:
        self._tokenizer = tokenizer
        self._spec = spec
        self._capacity = capacity
        self._drafts = drafts
        self._known: Vocabulary | None = None
        self._compiling = Lock()

    @property
    def vocabulary(self) -> Vocabulary:
        """What constraints are compiled for; made when first asked for, in the asker's thread."""
        with self._compiling:
            if self._known is None:
                self._known = Vocabulary.of(
                    self._tokenizer, self._spec.decoder.vocab, self._spec.prompt.eos_id
                )
            return self._known

    def speaker(
        self, prompt: PromptTokens, request: Request, stop_strings: tuple[str, ...], has_end: bool = True
    ) -> Speaker:
        """EVL-CONTEXT-OVERFLOW where it does not fit, EVL-CONSTRAINT-* where nothing can be held to that."""
        check_fits(prompt, request.max_tokens or 1, self._capacity)
        limit = request.max_tokens or min(DEFAULT_MAX_TOKENS, self._capacity - len(prompt))
        eos_id = self._spec.prompt.eos_id if has_end else NO_END
        saying = Saying(self._tokenizer, prompt, request, stop_strings, eos_id, limit, self._matcher(request))
        return Speaker(saying, self._drafter())

    def _matcher(self, request: Request) -> GrammarMatcher | None:
        return None if request.constraint is None else Grammar(request.constraint, self.vocabulary).matcher()

    def _drafter(self) -> Drafter | None:
        prompt = self._spec.prompt
        return None if self._drafts is None else Drafter(self._drafts, {prompt.image_id, prompt.eos_id})
