"""What is asked of the loop, and what the asker holds meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from queue import SimpleQueue

from PIL import Image

from edge_runtime.answer import Answer, Piece
from edge_runtime.errors import EdgeVLError
from edge_runtime.prompt import PromptTokens
from edge_runtime.request import Request


@dataclass(frozen=True)
class Question:
    """`pictures` are those of the prompt's places, in order. `client` is who is given a fair share. Without an end it is
    answered in as many tokens as were asked for: for measuring."""

    prompt: PromptTokens
    pictures: tuple[Image.Image, ...] = ()
    request: Request = Request()
    stop_strings: tuple[str, ...] = ()
    client: str = ""
    has_end: bool = True


Event = Piece | Answer | EdgeVLError  # pieces, and then one of the others


class Ticket:
    """Any thread may read and cancel it; the loop's own thread writes. With `hear` every event is handed to that in the
    loop's thread instead of being kept for `pieces` and `answer`; it must be quick and raise nothing."""

    def __init__(self, question: Question, hear: Callable[[Event], None] | None = None) -> None:
        self.question = question
        self.is_cancelled = False
        self._events: SimpleQueue[Event] = SimpleQueue()
        self._hear = hear or self._events.put
        self._answer: Answer | None = None

    def cancel(self) -> None:
        """The loop drops it before its next piece of work, and tells nothing more."""
        self.is_cancelled = True

    def tell(self, event: Event) -> None:
        self._hear(event)

    def pieces(self) -> Iterator[str]:
        """Text as it becomes certain; waits for it. What went wrong is raised."""
        while self._answer is None:
            event = self._events.get()
            if isinstance(event, EdgeVLError):
                self._events.put(event)  # whoever looks again is told the same
                raise event
            if isinstance(event, Answer):
                self._answer = event
            elif event.text:
                yield event.text

    @property
    def answer(self) -> Answer:
        """The whole; waits for what is left of it."""
        for _ in self.pieces():
            pass
        assert self._answer is not None, "the pieces end with the answer"
        return self._answer
