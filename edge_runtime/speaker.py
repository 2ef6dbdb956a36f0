"""One answer said alone in its sequence, a token or several right guesses at a step."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from edge_runtime.answer import Piece
from edge_runtime.draft import Drafter
from edge_runtime.saying import Saying
from edge_runtime.sequence import KVSequence


class Drafted(NamedTuple):
    """Tokens, and how many of them saved a step."""

    guessed: int
    right: int


class Speaker:
    """Without a drafter every step feeds one token. With one, what it guesses is fed along, and heard as far as the answer
    goes on so: the tokens are those of single steps, up to the rounding of the engine's products."""

    def __init__(self, saying: Saying, drafter: Drafter | None = None) -> None:
        self.saying = saying
        self._drafter = drafter

    def step(self, sequence: KVSequence, tell: Callable[[Piece], None]) -> Drafted:
        """Feeds what was chosen last, of an answer that has begun; the cache keeps what is true of it."""
        saying, held = self.saying, len(sequence.keys)
        guess = [] if self._drafter is None else self._drafter.guess(saying.seen, saying.left - 1)
        scores, right = sequence.append(saying.ids[-1], *guess), 0
        try:
            tell(saying.hear(scores.place(0)))
            while saying.reason is None and right < len(guess) and saying.ids[-1] == guess[right]:
                right += 1
                tell(saying.hear(scores.place(right)))
        finally:
            del sequence.keys[held + 1 + right :]
        if guess and self._drafter is not None:
            self._drafter.learn(len(guess), right)
        return Drafted(len(guess), right)
