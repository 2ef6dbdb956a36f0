"""Who is let in: so many questions at a time, of so many tokens, and for the others when to come again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from edge_runtime.errors import EdgeVLError

FIRST_GUESS_S = 2.0  # what a question takes, before any was answered
NEWEST_SHARE = 0.2  # of the running average
RETRY_LIMITS_S = (0.25, 60.0)


class Refusal(EdgeVLError):
    """There is no room for a request now. `retry_after_s` is when there should be."""

    def __init__(self, why: str, retry_after_s: float) -> None:
        what, fix = "there is no room for another question", "ask again after the time in Retry-After"
        super().__init__("EVL-ADMISSION-FULL", what, why, fix)
        self.retry_after_s = retry_after_s


class Admission:
    """`slots` are answered at once and `waiting` more may wait. `tokens` bounds what all of them have between them by
    estimate, images and answers counted, and `slot_tokens` more for every slot; whoever comes to an empty house is let in
    whatever they bring."""

    def __init__(self, slots: int, waiting: int, tokens: int, slot_tokens: int = 0) -> None:
        if slots < 1 or waiting < 0 or tokens < 1:
            raise ValueError(f"nobody can be let in so: {slots} slots, {waiting} waiting, {tokens} tokens")
        self._asked_slots = self._slots = slots
        self._waiting = waiting
        self._tokens, self._slot_tokens = tokens, slot_tokens
        self._service_s = FIRST_GUESS_S
        self._is_guess = True
        self.questions = 0  # in flight
        self.tokens = 0  # theirs, by estimate

    def slots_are(self, slots: int) -> None:
        """What the engine has, which may be fewer than were asked for."""
        self._slots = min(slots, self._asked_slots)

    @property
    def _most(self) -> int:
        return self._slots + self._waiting

    @property
    def _most_tokens(self) -> int:
        return self._tokens + self._slots * self._slot_tokens

    @contextmanager
    def admitted(self, questions: int, tokens: int) -> Iterator[None]:
        """The room is theirs while the context lasts, however it ends. Raises Refusal."""
        self._check_room(questions, tokens)
        self.questions += questions
        self.tokens += tokens
        try:
            yield
        finally:
            self.questions -= questions
            self.tokens -= tokens

    @property
    def wait_s(self) -> float | None:
        """When there should be room for one more; None where there is."""
        return self.retry_after_s if self.questions >= self._most else None

    def served(self, service_s: float) -> None:
        """A question took so long to answer, its waiting left out."""
        if self._is_guess:
            self._service_s, self._is_guess = service_s, False
        else:
            self._service_s += NEWEST_SHARE * (service_s - self._service_s)

    @property
    def retry_after_s(self) -> float:
        """When those who are before should have been answered."""
        least, most = RETRY_LIMITS_S
        return min(max(self._service_s * max(self.questions, 1) / self._slots, least), most)

    def _check_room(self, questions: int, tokens: int) -> None:
        if self.questions + questions > max(self._most, 1 if self.questions else questions):
            raise Refusal(f"{self.questions} are being answered or wait already", self.retry_after_s)
        if self.questions and self.tokens + tokens > self._most_tokens:
            raise Refusal(f"those before have about {self.tokens} tokens already", self.retry_after_s)
