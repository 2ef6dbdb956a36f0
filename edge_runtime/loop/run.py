"""One question on its way through the loop."""

from __future__ import annotations

from collections.abc import Generator

from PIL import Image

from edge_runtime.embedding import EmbeddedPrompt
from edge_runtime.loop.rows import Rows
from edge_runtime.loop.ticket import Ticket
from edge_runtime.saying import Saying
from edge_runtime.speaker import Speaker
from edge_runtime.stopwatch import STAGES, Stopwatch
from edge_runtime.vision import EncodedImage, digest_of

NOWHERE = -1


class Run:
    """It waits for a row; its pictures are encoded one by one, its prompt is read piece by piece, and then it is answered
    beside the others."""

    def __init__(self, ticket: Ticket, speaker: Speaker) -> None:
        self.ticket = ticket
        self.speaker = speaker
        # Here and not later: this is the asker's thread, and a large picture takes a while.
        self.digests = [digest_of(each) for each in ticket.question.pictures]
        self.stopwatch = Stopwatch(stages=("queue", *STAGES))
        self.images: list[EncodedImage] = []
        self.encoding: Generator[None, None, EncodedImage] | None = None  # of the next picture
        self.embedded: EmbeddedPrompt | None = None
        self.row = NOWHERE
        self.cached = 0
        self.counted = 0  # of the tokens that were said
        self._came = self.stopwatch.clock()

    @property
    def saying(self) -> Saying:
        return self.speaker.saying

    @property
    def is_decoding(self) -> bool:
        return bool(self.saying.ids)

    @property
    def picture(self) -> Image.Image | None:
        """The next that is not encoded yet."""
        pictures = self.ticket.question.pictures
        return pictures[len(self.images)] if len(self.images) < len(pictures) else None

    def begin(self, rows: Rows) -> None:
        """In the row that holds most of it."""
        self.row = rows.take(self.ticket.question.prompt.keys(self.digests))
        self.stopwatch.add("queue", self.stopwatch.clock() - self._came)

    def end(self) -> None:
        """Lets go of a picture that is half encoded."""
        if self.encoding is not None:
            self.encoding.close()
            self.encoding = None
