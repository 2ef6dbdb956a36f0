"""What was asked and answered in one request, for a log that may hold it."""

from __future__ import annotations

from collections.abc import Sequence

from edge_runtime.server.asked import Asked, Prompt
from edge_runtime.server.said import Event, Piece


class Transcript:
    """Pictures are counted, not kept. The answers are whole as far as they came."""

    def __init__(self, asks: Sequence[Asked]) -> None:
        self._asked = [told_of(asked.prompt) for asked in asks]
        self._answers: list[list[str]] = [[] for _ in asks]

    def hear(self, place: int, event: Event) -> None:
        if isinstance(event, Piece):
            self._answers[place].append(event.text)

    def told(self) -> dict[str, object]:
        return {"asked": self._asked, "answered": ["".join(texts) for texts in self._answers]}


def told_of(prompt: Prompt) -> object:
    if prompt.raw is not None:
        return prompt.raw
    system = [] if prompt.system is None else [{"role": "system", "text": prompt.system}]
    turns = [
        {"role": turn.role, "text": turn.text} | ({"pictures": turn.images} if turn.images else {})
        for turn in prompt.turns
    ]
    return system + turns
