"""The engine loop: one thread, one piece of work at a time, several answers at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from threading import Condition, Lock

from edge_runtime.answer import Usage
from edge_runtime.backends.backend import Backend
from edge_runtime.bundle import Bundle
from edge_runtime.constraint_grammar import Grammar
from edge_runtime.constraint_vocabulary import Vocabulary
from edge_runtime.embedding import EmbeddedPrompt
from edge_runtime.errors import EdgeVLError
from edge_runtime.facts import facts_of
from edge_runtime.loop.queue import FairQueue
from edge_runtime.loop.rows import Rows
from edge_runtime.loop.run import Run
from edge_runtime.loop.ticket import Question, Ticket
from edge_runtime.prompt import check_fits
from edge_runtime.request import DEFAULT_MAX_TOKENS
from edge_runtime.saying import Saying
from edge_runtime.scores import Scores
from edge_runtime.tokenizer import Tokenizer
from edge_runtime.vision import VisionEncoder

NO_END = -1
IDLE_S = 1.0  # how long nothing is waited for at a time


@dataclass(frozen=True)
class Limits:
    """`slots` are answered at once; so many more wait, with so many tokens between them, images counted."""

    slots: int = 4
    waiting: int = 64
    waiting_tokens: int = 1 << 16

    def __post_init__(self) -> None:
        if min(self.slots, self.waiting, self.waiting_tokens) < 1:
            raise ValueError(f"nobody can be answered so: {self}")


class Loop:
    """Questions come from any thread; `work` and `serve` are for one thread alone, whose engine it is.

    Pieces of prompts and steps of answers take turns, so that what is being said does not stall while somebody else's
    long prompt is read.
    """

    def __init__(
        self,
        bundle: Bundle,
        backend: Backend,
        limits: Limits = Limits(),
        max_context: int | None = None,
        engine_reason: str = "",
    ) -> None:
        self._spec = bundle.spec
        self._capacity = max_context or bundle.manifest.max_context
        self._tokenizer = Tokenizer.open(bundle.tokenizer_path)
        self._facts = facts_of(bundle, backend, engine_reason)
        self._table = bundle.embedding()
        self._vision = VisionEncoder(backend, bundle.spec)
        self._rows = Rows(backend.decoder(limits.slots, self._capacity), self._table)
        self._queue: FairQueue[Run] = FairQueue(limits.waiting, limits.waiting_tokens)
        self._runs: list[Run] = []
        self._is_decodes_turn = False
        self._changed, self._compiling = Condition(), Lock()
        self._known: Vocabulary | None = None
        self.said = 0  # tokens, since the loop was made

    @property
    def waiting(self) -> int:
        return len(self._queue)

    @property
    def running(self) -> int:
        return len(self._runs)

    @property
    def decoding(self) -> int:
        """Of those that run, whose prompt is read."""
        return sum(run.is_decoding for run in self._runs)

    def submit(self, question: Question) -> Ticket:
        """EVL-CONTEXT-OVERFLOW, or EVL-LOOP-FULL where too much waits already."""
        asked = question.request.max_tokens
        check_fits(question.prompt, asked or 1, self._capacity)
        limit = asked or min(DEFAULT_MAX_TOKENS, self._capacity - len(question.prompt))
        ticket = Ticket(question)
        constraint = question.request.constraint
        matcher = None if constraint is None else Grammar(constraint, self._vocabulary()).matcher()
        saying = Saying(
            self._tokenizer,
            question.prompt,
            question.request,
            question.stop_strings,
            self._spec.prompt.eos_id if question.has_end else NO_END,
            limit,
            matcher,
        )
        tokens = len(question.prompt) + limit
        with self._changed:
            if not self._queue.has_room(tokens):
                raise full_error(len(self._queue))
            self._queue.put(Run(ticket, saying), question.client, tokens)
            self._changed.notify()
        return ticket

    def _vocabulary(self) -> Vocabulary:
        """Made when a constraint first asks for it, in the asker's thread."""
        with self._compiling:
            if self._known is None:
                self._known = Vocabulary.of(
                    self._tokenizer, self._spec.decoder.vocab, self._spec.prompt.eos_id
                )
            return self._known

    def serve(self, is_stopped: Callable[[], bool]) -> None:
        """Works until it is stopped, and waits while there is nothing to do."""
        while not is_stopped():
            if not self.work():
                with self._changed:
                    self._changed.wait_for(lambda: bool(len(self._queue)) or is_stopped(), IDLE_S)

    def work(self) -> bool:
        """One piece: a picture, a piece of a prompt, or a token of every answer; whether there was any."""
        self._drop_cancelled()
        self._admit()
        preparing = [run for run in self._runs if not run.is_decoding]
        decoding = [run for run in self._runs if run.is_decoding]
        if preparing and not (decoding and self._is_decodes_turn):
            self._prepare(preparing[0])
        elif decoding:
            self._decode(decoding)
        self._is_decodes_turn = not self._is_decodes_turn
        return bool(preparing or decoding)

    def _drop_cancelled(self) -> None:
        with self._changed:
            self._queue.drop(lambda run: run.ticket.is_cancelled)
        for run in [run for run in self._runs if run.ticket.is_cancelled]:
            self._release(run)

    def _admit(self) -> None:
        while self._rows.free_count:
            with self._changed:
                if not len(self._queue):
                    return
                run = self._queue.take()
            run.begin(self._rows)
            self._runs.append(run)

    def _prepare(self, run: Run) -> None:
        """Others that prepare come first the next time: a short prompt does not wait for the whole of a long one."""
        self._runs.remove(run)
        self._runs.append(run)
        try:
            if len(run.images) < len(run.ticket.question.pictures):
                picture = run.ticket.question.pictures[len(run.images)]
                run.images.append(self._vision.encode(picture, run.stopwatch))
            else:
                self._read(run)
        except EdgeVLError as error:
            self._rows.sequences[run.row].keys.clear()  # of what a fault left there nobody knows
            self._fail([run], error)

    def _read(self, run: Run) -> None:
        sequence = self._rows.sequences[run.row]
        with run.stopwatch.time("prefill"):
            if run.embedded is None:
                rows, digests = [each.rows for each in run.images], [each.digest for each in run.images]
                run.embedded = EmbeddedPrompt(run.ticket.question.prompt, self._table, rows, digests)
                run.cached = sequence.begin(run.embedded)
            scores = sequence.extend(run.embedded)
        if len(sequence.keys) == len(run.embedded):
            self._hear(run, scores)

    def _decode(self, runs: list[Run]) -> None:
        tokens = {run.row: run.saying.ids[-1] for run in runs}
        watches = [run.stopwatch for run in runs]
        begun = watches[0].clock()
        try:
            scores = self._rows.step(tokens)
        except EdgeVLError as error:
            self._rows.forget()
            self._fail(list(self._runs), error)
            return
        for run in runs:
            run.stopwatch.add("decode", watches[0].clock() - begun)
            try:
                self._hear(run, scores[run.row])
            except EdgeVLError as error:
                self._fail([run], error)

    def _hear(self, run: Run, scores: Scores) -> None:
        before = len(run.saying.ids)
        run.ticket.tell(run.saying.hear(scores))
        self.said += len(run.saying.ids) - before
        reason = run.saying.reason
        if reason is None:
            return
        question, ids = run.ticket.question, run.saying.ids
        usage = Usage(len(question.prompt), question.prompt.image_token_count, run.cached, len(ids))
        steps = len(self._rows.sequences[run.row].keys) - len(question.prompt)
        answer = self._facts.answer(run.saying.text, ids, reason, usage, run.stopwatch, steps)
        self._release(run)
        run.ticket.tell(answer)

    def _fail(self, runs: list[Run], error: EdgeVLError) -> None:
        for run in runs:
            self._release(run)
            run.ticket.tell(error)

    def _release(self, run: Run) -> None:
        self._runs.remove(run)
        self._rows.give_back(run.row)


def full_error(waiting: int) -> EdgeVLError:
    what, why = "there is no room for another question", f"{waiting} wait already"
    return EdgeVLError("EVL-LOOP-FULL", what, why, "ask again later")
