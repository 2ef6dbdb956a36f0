"""Guesses at how an answer goes on, taken from what was written before: many answers repeat their prompt or themselves."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import takewhile

import numpy as np

from edge_runtime.backends.provider import CPU
from edge_runtime.sampling import NOTHING_SEEN, Ids


@dataclass(frozen=True)
class DraftRules:
    """At most `most` tokens are guessed at once: those that followed the last place where the latest `longest` tokens
    stood before, or fewer of them, down to `shortest`. After wrong guesses up to `rest` steps are taken without any.
    Of the engine a step asks the logits of `most` + 1 tokens."""

    most: int = 7
    longest: int = 8
    shortest: int = 3
    rest: int = 32

    def __post_init__(self) -> None:
        if self.most < 1 or not 0 < self.shortest <= self.longest or self.rest < 0:
            raise ValueError(f"nothing can be guessed so: {self}")


class Drafter:
    """Of one answer. It guesses more while its guesses are right, and seldom while they are wrong. Ids in `never` are not
    guessed: they stand for what is no text."""

    def __init__(self, rules: DraftRules, never: AbstractSet[int]) -> None:
        self._rules = rules
        self._never = never
        self._most = min(2, rules.most)
        self._rest = 0  # steps until the next guess
        self._penalty = 0  # how long it rests after the next wrong one
        self._said: set[tuple[int, ...]] = set()  # every `shortest` tokens in a row, but for the last
        self._known = 0  # where the next of them begin

    def guess(self, seen: Ids, room: int) -> list[int]:
        """At most `room` tokens that may follow those seen, often none."""
        if self._rest:
            self._rest -= 1
            return []
        if not self._is_repeated(seen):
            return []
        found = following(seen, self._rules, min(self._most, room))
        return list(takewhile(lambda each: each not in self._never, map(int, found)))

    def _is_repeated(self, seen: Ids) -> bool:
        """Whether the latest `shortest` tokens stood before; most texts most of the time say no, which is to cost nothing."""
        length, fresh = self._rules.shortest, seen[self._known :].tolist()
        count = max(0, len(fresh) - length)
        self._said.update(tuple(fresh[at : at + length]) for at in range(count))
        self._known += count
        return tuple(fresh[-length:]) in self._said

    def learn(self, guessed: int, right: int) -> None:
        """How many of a guess were right."""
        if right == guessed:
            self._most = min(2 * self._most, self._rules.most)
        else:
            self._most = max(1, right + 1 if right else self._most // 2)
        if right:
            self._penalty = 0
        else:
            self._rest = self._penalty = min(max(1, 2 * self._penalty), self._rules.rest)


def following(seen: Ids, rules: DraftRules, count: int) -> Ids:
    """What followed the last place where the end of `seen` stood before, the longest end that did. A repeat that reaches
    into the end goes on as it began."""
    if count < 1 or seen.size <= rules.shortest:
        return NOTHING_SEEN
    ends = np.flatnonzero(seen[:-1] == seen[-1])
    length = 1
    while length < rules.longest and ends.size:
        longer = ends[ends >= length]
        longer = longer[seen[longer - length] == seen[-1 - length]]
        if not longer.size:
            break
        ends, length = longer, length + 1
    if not ends.size or length < rules.shortest:
        return NOTHING_SEEN
    return np.resize(seen[ends[-1] + 1 :], count)


def drafts_for(engine: str) -> DraftRules | None:
    """Where a step of several tokens was measured to cost little more than one of one: `docs/loop/speculation.json`."""
    return DraftRules() if engine == CPU.engine else None
