"""The engine loop: one thread, one piece of work at a time, several answers at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from threading import Condition

from edge_runtime.answer import Piece
from edge_runtime.backends.backend import Backend
from edge_runtime.bundle import Bundle
from edge_runtime.draft import DraftRules
from edge_runtime.errors import EdgeVLError, MachineFault
from edge_runtime.facts import facts_of
from edge_runtime.loop.counts import Counts
from edge_runtime.loop.pace import Pace, rules_for
from edge_runtime.loop.queue import FairQueue
from edge_runtime.loop.reader import Reader
from edge_runtime.loop.rows import Rows
from edge_runtime.loop.run import Run
from edge_runtime.loop.ticket import Event, Question, Ticket
from edge_runtime.sampling import NONFINITE_CODE
from edge_runtime.tokenizer import Tokenizer
from edge_runtime.vision import VisionEncoder, remembered_for
from edge_runtime.voice import Voice

LOST_CODE = "EVL-GPU-FAULT"  # after it the driver refuses this process everything
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
        drafts: DraftRules | None = None,
    ) -> None:
        """`drafts` is how an answer that is given alone is guessed ahead; None feeds one token at a step."""
        tokenizer = Tokenizer.open(bundle.tokenizer_path)
        capacity = max_context or bundle.manifest.max_context
        self._slots = limits.slots
        self._voice = Voice(tokenizer, bundle.spec, capacity, drafts)
        self._facts = facts_of(bundle, backend, engine_reason)
        self._counts = Counts()
        table = bundle.embedding()
        self._rows = Rows(backend.decoder(limits.slots, capacity), table)
        pace = Pace(rules_for(backend.name))
        remembered = remembered_for(limits.slots, capacity, bundle.spec.image_tokens)
        vision = VisionEncoder(backend, bundle.spec, remembered)
        self._reader = Reader(vision, table, self._rows, self._counts, pace)
        self._queue: FairQueue[Run] = FairQueue(limits.waiting, limits.waiting_tokens)
        self._runs: list[Run] = []
        self._is_decodes_turn = False
        self._changed = Condition()

    @property
    def said(self) -> int:
        """Tokens of answers; this and all other counts since the loop was made."""
        return self._counts.said

    @property
    def prompt_tokens(self) -> int:
        """Of prompts that were read to their end."""
        return self._counts.prompt_tokens

    @property
    def cached_tokens(self) -> int:
        """Of those, found in the cache."""
        return self._counts.cached_tokens

    @property
    def pictures(self) -> int:
        """Shown."""
        return self._counts.pictures

    @property
    def known_pictures(self) -> int:
        """Of those, encoded before."""
        return self._counts.known_pictures

    @property
    def drafted(self) -> int:
        """Tokens that were guessed."""
        return self._counts.drafted

    @property
    def accepted(self) -> int:
        """Of those, right."""
        return self._counts.accepted

    @property
    def corrupted(self) -> int:
        """Answers that ended because the engine's numbers were none."""
        return self._counts.corrupted

    @property
    def progressed(self) -> int:
        """Pieces of work; it grows as long as something is done."""
        return self._counts.progressed

    @property
    def waiting(self) -> int:
        with self._changed:
            return len(self._queue)

    @property
    def running(self) -> int:
        return len(self._runs)

    @property
    def decoding(self) -> int:
        """Of those that run, whose prompt is read."""
        return sum(run.is_decoding for run in self._runs)

    @property
    def cache_share(self) -> float:
        """Of the rows' places, how many hold something, 0 to 1."""
        return self._rows.held / (self._rows.capacity * self._slots)

    def submit(self, question: Question, hear: Callable[[Event], None] | None = None) -> Ticket:
        """EVL-CONTEXT-OVERFLOW, or EVL-LOOP-FULL where too much waits already; `hear` is the ticket's."""
        ticket = Ticket(question, hear)
        speaker = self._voice.speaker(
            question.prompt, question.request, question.stop_strings, question.has_end
        )
        tokens = len(question.prompt) + speaker.saying.left
        with self._changed:
            self._check_room(tokens)
        run = Run(ticket, speaker)  # hashes pictures: neither under the lock, nor where there is no room
        with self._changed:
            self._check_room(tokens)
            self._queue.put(run, question.client, tokens)
            self._changed.notify()
        return ticket

    def _check_room(self, tokens: int) -> None:
        """Neither who has gone away nor who will be taken into a free slot takes room, though the loop is busy yet."""
        self._drop_cancelled_in_queue()
        free = self._slots - sum(not run.ticket.is_cancelled for run in list(self._runs))
        if not self._queue.has_room(tokens, free, free * self._rows.capacity):
            raise full_error(len(self._queue) - free)

    def serve(self, is_stopped: Callable[[], bool]) -> None:
        """Works until it is stopped, and waits while there is nothing to do. Raises what is the end of a GPU for this process."""
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
            self._prepare(self._reader.next(preparing))
        elif len(decoding) == 1:
            self._speak(decoding[0])
        elif decoding:
            self._decode(decoding)
        self._is_decodes_turn = not self._is_decodes_turn
        has_worked = bool(preparing or decoding)
        self._counts.progressed += has_worked
        return has_worked

    def forget(self) -> None:
        """All that the cache holds, of a loop that answers nobody."""
        assert not self._runs, "somebody is being answered"
        self._rows.forget()

    def _drop_cancelled(self) -> None:
        with self._changed:
            self._drop_cancelled_in_queue()
        for run in [run for run in self._runs if run.ticket.is_cancelled]:
            self._release(run)

    def _drop_cancelled_in_queue(self) -> None:
        """Under the lock."""
        self._queue.drop(lambda run: run.ticket.is_cancelled)

    def _admit(self) -> None:
        while self._rows.free_count:
            with self._changed:
                if not len(self._queue):
                    return
                run = self._queue.take()
                self._runs.append(run)  # whoever looks for room sees it here or there
            run.begin(self._rows)

    def _prepare(self, run: Run) -> None:
        """Others that prepare come first the next time: a short prompt does not wait for the whole of a long one."""
        self._runs = [*(each for each in self._runs if each is not run), run]
        try:
            scores = self._reader.read(run)
            if scores is not None:
                self._tell(run, run.saying.hear(scores))
        except EdgeVLError as error:
            self._rows.sequences[run.row].keys.clear()  # of what a fault left there nobody knows
            self._fail([run], error)
            return
        self._end_if_over(run)

    def _speak(self, run: Run) -> None:
        """A token, or several right guesses."""
        try:
            with run.stopwatch.time("decode"):
                drafted = run.speaker.step(self._rows.sequences[run.row], partial(self._tell, run))
        except EdgeVLError as error:
            self._fail_alone(run, error)
            return
        self._counts.drafted += drafted.guessed
        self._counts.accepted += drafted.right
        self._end_if_over(run)

    def _decode(self, runs: list[Run]) -> None:
        """A token of each. Guesses would be fed row by row, and cost more than they save."""
        tokens = {run.row: run.saying.ids[-1] for run in runs}
        clock = runs[0].stopwatch.clock
        begun = clock()
        try:
            scores = self._rows.step(tokens)
        except EdgeVLError as error:
            self._rows.forget()
            self._fail(
                [run for run in self._runs if run.embedded is not None], error
            )  # others hold nothing yet
            return
        for run in runs:
            run.stopwatch.add("decode", clock() - begun)
            try:
                self._tell(run, run.saying.hear(scores[run.row]))
            except EdgeVLError as error:
                self._fail_alone(run, error)
                continue
            self._end_if_over(run)

    def _tell(self, run: Run, piece: Piece) -> None:
        self._counts.said += len(run.saying.ids) - run.counted
        run.counted = len(run.saying.ids)
        if piece.text or piece.scores:
            run.ticket.tell(piece)

    def _end_if_over(self, run: Run) -> None:
        if run.saying.reason is None:
            return
        prompt, held = run.ticket.question.prompt, len(self._rows.sequences[run.row].keys)
        answer = self._facts.answer(run.saying, prompt, run.cached, held, run.stopwatch)
        self._release(run)
        run.ticket.tell(answer)

    def _fail_alone(self, run: Run, error: EdgeVLError) -> None:
        if isinstance(error, MachineFault):  # a NaN in the cache would be in every answer that begins alike
            self._rows.sequences[run.row].keys.clear()
        self._fail([run], error)

    def _fail(self, runs: list[Run], error: EdgeVLError) -> None:
        self._counts.corrupted += len(runs) * (error.code == NONFINITE_CODE)
        for run in runs:
            self._release(run)
            run.ticket.tell(error)
        if error.code == LOST_CODE:
            raise error

    def _release(self, run: Run) -> None:
        run.end()
        self._runs.remove(run)
        self._rows.give_back(run.row)


def full_error(waiting: int) -> EdgeVLError:
    what, why = "there is no room for another question", f"{waiting} wait already"
    return EdgeVLError("EVL-LOOP-FULL", what, why, "ask again later")
