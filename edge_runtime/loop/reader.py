"""What is shown and asked, read in pieces: a stage of a picture, or a chunk of a prompt."""

from __future__ import annotations

from collections.abc import Sequence

from edge_runtime.embedding import EmbeddedPrompt
from edge_runtime.loop.counts import Counts
from edge_runtime.loop.pace import Pace
from edge_runtime.loop.rows import Rows
from edge_runtime.loop.run import Run
from edge_runtime.scores import Scores
from edge_runtime.table import Table
from edge_runtime.vision import VisionEncoder


class Reader:
    def __init__(self, vision: VisionEncoder, table: Table, rows: Rows, counts: Counts, pace: Pace) -> None:
        self._vision = vision
        self._pace = pace
        self._table = table
        self._rows = rows
        self._counts = counts

    def next(self, preparing: Sequence[Run]) -> Run:
        """The first of them, but for those whose picture waits until another's is encoded."""
        is_encoding = any(run.encoding is not None for run in preparing)
        return next(
            run for run in preparing if run.picture is None or run.encoding is not None or not is_encoding
        )

    def read(self, run: Run) -> Scores | None:
        """The next piece; what may follow the prompt, once all of it is read."""
        if run.picture is not None:
            self._look(run)
            return None
        with run.stopwatch.time("prefill"):
            return self._chunk(run)

    def _look(self, run: Run) -> None:
        picture = run.picture
        assert picture is not None, "the caller looks whether there is one"
        if run.encoding is None:
            digest = run.digests[len(run.images)]
            self._counts.pictures += 1
            self._counts.known_pictures += self._vision.knows(digest)
            run.encoding = self._vision.stages(picture, run.stopwatch, digest)
        try:
            next(run.encoding)
        except StopIteration as end:
            run.images.append(end.value)
            run.encoding = None

    def _chunk(self, run: Run) -> Scores | None:
        sequence, prompt = self._rows.sequences[run.row], run.ticket.question.prompt
        if run.embedded is None:
            rows, digests = [each.rows for each in run.images], [each.digest for each in run.images]
            run.embedded = EmbeddedPrompt(prompt, self._table, rows, digests)
            run.cached = sequence.begin(run.embedded)
        start, begun = len(sequence.keys), run.stopwatch.clock()
        scores = sequence.extend(run.embedded, self._pace.tokens())
        self._pace.took(len(sequence.keys) - start, run.stopwatch.clock() - begun)
        if len(sequence.keys) < len(prompt):
            return None
        self._counts.prompt_tokens += len(prompt)
        self._counts.cached_tokens += run.cached
        return scores
