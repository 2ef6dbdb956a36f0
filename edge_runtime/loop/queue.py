"""Who is next: each client's share is counted in tokens, so that one with many or long questions waits for the others."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class FairQueue(Generic[T]):
    """Bounded by what waits in it. A client's things stay in order; the next is of the client that was given least."""

    def __init__(self, most: int, most_tokens: int) -> None:
        self.most = most
        self.most_tokens = most_tokens
        self.tokens = 0
        self._waiting: dict[str, deque[tuple[T, int]]] = {}
        self._given: dict[str, int] = {}  # of those who wait, or were served since the queue was last empty

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def has_room(self, tokens: int, free: int = 0, free_tokens: int = 0) -> bool:
        """So many more things and tokens are let in as wait for nothing but to be taken. One thing is let in however long it
        is: nobody could ever ask it otherwise."""
        fits = len(self) < self.most + free and self.tokens + tokens <= self.most_tokens + free_tokens
        return len(self) == 0 or fits

    def put(self, thing: T, client: str, tokens: int) -> None:
        """The caller has looked whether there is room."""
        if not self._waiting.get(client):
            # A newcomer is not owed what it did not ask for before.
            least = min(
                (self._given.get(each, 0) for each, queue in self._waiting.items() if queue), default=0
            )
            self._given[client] = max(self._given.get(client, 0), least)
        self._waiting.setdefault(client, deque()).append((thing, tokens))
        self.tokens += tokens

    def take(self) -> T:
        client = self._next()
        assert client is not None, "nothing waits"
        thing, tokens = self._waiting[client].popleft()
        self.tokens -= tokens
        self._given[client] += tokens
        if not self._waiting[client]:
            del self._waiting[client]
        if not self._waiting:
            self._given.clear()
        return thing

    def drop(self, is_gone: Callable[[T], bool]) -> None:
        """Things that nobody waits for any more."""
        for client, queue in list(self._waiting.items()):
            kept = deque(each for each in queue if not is_gone(each[0]))
            self.tokens -= sum(tokens for _, tokens in queue) - sum(tokens for _, tokens in kept)
            self._waiting[client] = kept
            if not kept:
                del self._waiting[client]

    def _next(self) -> str | None:
        return min(self._waiting, key=lambda client: self._given[client], default=None)
