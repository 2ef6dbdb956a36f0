"""One question on its way through the loop."""

from __future__ import annotations

from edge_runtime.embedding import EmbeddedPrompt
from edge_runtime.loop.rows import Rows
from edge_runtime.loop.ticket import Ticket
from edge_runtime.saying import Saying
from edge_runtime.stopwatch import STAGES, Stopwatch
from edge_runtime.vision import EncodedImage, digest_of

NOWHERE = -1


class Run:
    """It waits for a row; its pictures are encoded one by one, its prompt is read piece by piece, and then it is answered
    beside the others."""

    def __init__(self, ticket: Ticket, saying: Saying) -> None:
        self.ticket = ticket
        self.saying = saying
        self.stopwatch = Stopwatch(stages=("queue", *STAGES))
        self.images: list[EncodedImage] = []
        self.embedded: EmbeddedPrompt | None = None
        self.row = NOWHERE
        self.cached = 0
        self._came = self.stopwatch.clock()

    @property
    def is_decoding(self) -> bool:
        return bool(self.saying.ids)

    def begin(self, rows: Rows) -> None:
        """In the row that holds most of it."""
        question = self.ticket.question
        self.row = rows.take(question.prompt.keys([digest_of(each) for each in question.pictures]))
        self.stopwatch.add("queue", self.stopwatch.clock() - self._came)
