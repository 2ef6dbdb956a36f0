"""Where questions come in: their tokens are counted, their pictures decoded, and the loop is asked; what it says goes out."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event, Lock

from PIL import Image

from edge_runtime.answer import Answer
from edge_runtime.chance import TokenScore as Score
from edge_runtime.errors import EdgeVLError, MachineFault
from edge_runtime.loop.loop import Loop
from edge_runtime.loop.ticket import Event as LoopEvent
from edge_runtime.loop.ticket import Question, Ticket
from edge_runtime.picture import picture_from_bytes
from edge_runtime.picture_header import header_from_bytes
from edge_runtime.picture_limits import PictureLimits
from edge_runtime.preprocess import canvas_from_picture
from edge_runtime.prompt import check_fits
from edge_runtime.server.asked import Asked
from edge_runtime.server.letters import letter_of_event, letter_of_fault
from edge_runtime.server.said import Done, Piece, TokenChance, TokenScore
from edge_runtime.server.wire import Message
from edge_runtime.server.worker.budget import GivenUp, PixelBudget
from edge_runtime.server.worker.canvases import Canvases
from edge_runtime.server.worker.prompts import Prompts, request_of
from edge_runtime.spec import PreprocessSpec

HELPERS = 2  # threads for questions in words, and as many for those with pictures
PIXELS = (
    26_000_000  # decoded at a time, four bytes each: one picture of the largest kind, or several usual ones
)


class Held:
    """One question on its way through the worker."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.ticket: Ticket | None = None
        self.spent_ms = {"decode_image": 0.0, "preprocess": 0.0}  # before the loop knew of it
        self._left = Event()

    def give_up(self) -> None:
        self._left.set()

    def is_given_up(self) -> bool:
        return self._left.is_set()


class Desk:
    """Any thread may use it. `send` carries messages out."""

    def __init__(
        self,
        loop: Loop,
        prompts: Prompts,
        max_context: int,
        preprocess: PreprocessSpec,
        send: Callable[[Message], None],
        limits: PictureLimits = PictureLimits(),
        budget: PixelBudget | None = None,
    ) -> None:
        self._loop = loop
        self._prompts = prompts
        self._max_context = max_context
        self._preprocess = preprocess
        self._send = send
        self._limits = limits
        self._budget = budget or PixelBudget(PIXELS)
        self._canvases = Canvases()
        self._held: dict[int, Held] = {}
        self._ended = 0
        self._lock = Lock()
        # Whoever shows nothing does not wait behind pictures that wait for room.
        self._readers = ThreadPoolExecutor(HELPERS, thread_name_prefix="words")
        self._viewers = ThreadPoolExecutor(HELPERS, thread_name_prefix="pictures")

    @property
    def coming(self) -> int:
        """Questions the loop does not know of yet."""
        with self._lock:
            return sum(held.ticket is None for held in self._held.values())

    @property
    def ended(self) -> int:
        """Pieces of work, refused questions and small work among them; it grows as long as something is done here."""
        with self._lock:
            return self._ended

    def ask(self, number: int, asked: Asked) -> None:
        held = Held(number)
        with self._lock:
            self._held[number] = held
        helpers = self._viewers if asked.pictures else self._readers
        # What was asked goes with this work and not with `held`: its files are large, and the answer takes long.
        helpers.submit(self._take_in, held, asked).add_done_callback(lambda taken: self._look(held, taken))

    def cancel(self, number: int) -> None:
        """Of what is over already this is no news."""
        with self._lock:  # the loop may be letting go of it, or its ticket be on its way
            held = self._held.pop(number, None)
            ticket = None if held is None else held.ticket
        if held is None:
            return
        held.give_up()
        if ticket is not None:
            ticket.cancel()
        self._let_go(held)

    def run(self, number: int, work: Callable[[], Message]) -> None:
        """Small work of another kind, answered with a message."""
        done = self._readers.submit(lambda: self._send(work()))
        done.add_done_callback(lambda each: self._look_small(number, each))

    def _take_in(self, held: Held, asked: Asked) -> None:
        if held.is_given_up():
            raise GivenUp
        prompt, request = self._prompts.tokens_of(asked.prompt), request_of(asked)
        # Before a picture is decoded: most of the work lies there.
        check_fits(prompt, request.max_tokens or 1, self._max_context)
        pictures = tuple(
            self._canvases.of(file, lambda file: self._canvas(held, file)) for file in asked.pictures
        )
        question = Question(
            prompt, pictures, request, self._prompts.stops_of(asked.prompt), asked.client, asked.has_end
        )
        self._follow(held, self._loop.submit(question, lambda event: self._hear(held, event)))

    def _follow(self, held: Held, ticket: Ticket) -> None:
        """It may be over already, or given up."""
        with self._lock:
            is_held = held.number in self._held
            held.ticket = ticket if is_held else None
        if not is_held:
            ticket.cancel()

    def _canvas(self, held: Held, file: bytes) -> Image.Image:
        """What the model is shown of a picture: as it waits it takes no more than that, however large it was."""
        header = header_from_bytes(file)
        with self._budget.held_by(header.width * header.height, held.is_given_up):
            begun = time.perf_counter()
            picture = picture_from_bytes(file, self._limits)
            decoded = time.perf_counter()
            canvas = canvas_from_picture(picture, self._preprocess)
        held.spent_ms["decode_image"] += 1000 * (decoded - begun)
        held.spent_ms["preprocess"] += 1000 * (time.perf_counter() - decoded)
        return canvas

    def _look(self, held: Held, taken: Future[None]) -> None:
        """At how the taking in ended."""
        fault = taken.exception()
        if isinstance(fault, GivenUp):
            return
        self._count_end()
        if fault is not None:
            self._let_go(held)
            self._tell(held.number, fault)

    def _look_small(self, number: int, done: Future[None]) -> None:
        self._count_end()
        self._tell(number, done.exception())

    def _count_end(self) -> None:
        with self._lock:
            self._ended += 1

    def _tell(self, number: int, fault: BaseException | None) -> None:
        if isinstance(fault, EdgeVLError):
            self._send(letter_of_fault(number, fault))
        elif fault is not None:
            logging.getLogger("edge_vl.worker").error("a question could not be taken in", exc_info=fault)
            self._send(letter_of_fault(number, own_fault()))

    def _hear(self, held: Held, event: LoopEvent) -> None:
        """In the loop's thread."""
        if isinstance(event, EdgeVLError):
            message = letter_of_fault(held.number, event)
        elif isinstance(event, Answer):
            message = letter_of_event(held.number, done_of(event, held.spent_ms))
        elif event.text or event.scores:
            message = letter_of_event(held.number, self._piece_of(event.text, event.scores))
        else:
            return
        if message.kind != "piece":
            self._let_go(held)
        if not held.is_given_up():
            self._send(message)

    def _piece_of(self, text: str, scores: Sequence[Score]) -> Piece:
        """With what each token adds to the text."""

        def told(score: Score) -> TokenScore:
            chances = [
                TokenChance(each.id, self._prompts.bytes_of(each.id), each.logprob)
                for each in (score.chosen, *score.likeliest)
            ]
            return TokenScore(chances[0], tuple(chances[1:]))

        return Piece(text, tuple(map(told, scores)))

    def _let_go(self, held: Held) -> None:
        """Once or several times."""
        with self._lock:
            self._held.pop(held.number, None)
            # A ticket hears through what is held here, and holds the pictures: nothing of it may wait for the collector.
            held.ticket = None


def done_of(answer: Answer, spent_ms: Mapping[str, float]) -> Done:
    """With what was spent before the loop's watch began."""
    usage, timings = answer.usage, dict(answer.timings_ms)
    for stage, spent in [*spent_ms.items(), ("total", sum(spent_ms.values()))]:
        timings[stage] = round(timings[stage] + spent, 3)
    return Done(
        finish_reason=answer.finish_reason,
        prompt_tokens=usage.prompt_tokens,
        image_tokens=usage.image_tokens,
        cached_tokens=usage.cached_tokens,
        completion_tokens=usage.completion_tokens,
        timings_ms=timings,
        tokens_per_s=answer.tokens_per_s,
    )


def own_fault() -> MachineFault:
    what, why = "the question could not be taken in", "a fault of edge-vl, told in the server's log"
    return MachineFault("EVL-SERVE-FAULT", what, why, "report it with the log, and try another question")
