"""Questions on their way into the loop, and what comes back."""

from __future__ import annotations

import gc
import io
import weakref
from collections.abc import Iterator
from dataclasses import replace
from queue import SimpleQueue
from threading import Event, Thread

import pytest
from PIL import Image

from edge_runtime.assistant import Assistant
from edge_runtime.backends.ort import OrtBackend
from edge_runtime.bundle import Bundle
from edge_runtime.loop.loop import Limits, Loop
from edge_runtime.loop.ticket import Question, Ticket
from edge_runtime.request import Request
from edge_runtime.server.asked import Asked, AskedTurn, Prompt
from edge_runtime.server.letters import error_of, event_of_letter
from edge_runtime.server.said import Done, Piece, TokenScore
from edge_runtime.server.wire import Message
from edge_runtime.server.worker.budget import PixelBudget
from edge_runtime.server.worker.desk import HELPERS, Desk, Held
from edge_runtime.server.worker.prompts import Prompts
from tests.edge_runtime.loop.asking import picture

LIMIT_S = 60.0


def file_of(seed: int) -> bytes:
    file = io.BytesIO()
    picture(seed).save(file, "PNG")
    return file.getvalue()


def asked(text: str = "what is it?", seed: int | None = None, **fields: object) -> Asked:
    files = () if seed is None else (file_of(seed),)
    return Asked(Prompt((AskedTurn("user", text, len(files)),)), files, max_tokens=6, **fields)  # type: ignore[arg-type]


class Office:
    """A desk, its loop at work in a thread, and what was sent."""

    def __init__(self, bundle: Bundle, loop: Loop, budget: PixelBudget) -> None:
        self.sent: SimpleQueue[Message] = SimpleQueue()
        self.budget = budget
        self.canvas = bundle.spec.preprocess.canvas
        self.loop = loop
        context, preprocess = bundle.manifest.max_context, bundle.spec.preprocess
        self.desk = Desk(loop, Prompts(bundle), context, preprocess, self.sent.put, budget=budget)

    def next(self) -> Message:
        return self.sent.get(timeout=LIMIT_S)

    def until_over(self, number: int) -> tuple[str, Message]:
        """The text of an answer, and its last message."""
        text = ""
        while True:
            message = self.next()
            if message.body["number"] != number:
                continue
            if message.kind != "piece":
                return text, message
            piece = event_of_letter(message)
            assert isinstance(piece, Piece)
            text += piece.text


@pytest.fixture
def office(bundle: Bundle) -> Iterator[Office]:
    backend, stopped = OrtBackend(bundle, threads=1), Event()
    loop = Loop(bundle, backend, Limits(slots=2, waiting=4))
    thread = Thread(target=loop.serve, args=(stopped.is_set,))
    thread.start()
    yield Office(bundle, loop, PixelBudget(10_000))
    stopped.set()
    thread.join()
    backend.close()


def test_an_answer_is_that_of_an_assistant(office: Office, bundle: Bundle) -> None:
    with Assistant(bundle, OrtBackend(bundle, threads=1)) as alone:
        expected = alone.ask("what is it?", picture(3), request=Request(max_tokens=6))
    office.desk.ask(1, asked(seed=3))
    text, last = office.until_over(1)
    done = event_of_letter(last)
    assert isinstance(done, Done)
    assert text == expected.text
    assert (done.prompt_tokens, done.image_tokens, done.completion_tokens, done.finish_reason) == (
        expected.usage.prompt_tokens,
        expected.usage.image_tokens,
        expected.usage.completion_tokens,
        expected.finish_reason,
    )
    assert done.timings_ms["decode_image"] > 0


def test_the_chances_of_tokens_are_told_with_their_bytes(office: Office) -> None:
    office.desk.ask(1, asked(logprobs=2))
    scores: list[TokenScore] = []
    while (message := office.next()).kind == "piece":
        piece = event_of_letter(message)
        assert isinstance(piece, Piece)
        scores += piece.scores
    assert len(scores) == 6
    assert all(len(score.likeliest) == 2 and score.chosen == score.likeliest[0] for score in scores)


@pytest.mark.parametrize(
    ("question", "code"),
    [
        (asked("x" * 100_000), "EVL-CONTEXT-OVERFLOW"),
        (Asked(Prompt((AskedTurn("user", "?", 1),)), (b"no picture",)), "EVL-IMAGE-FORMAT"),
        (Asked(Prompt(raw=(1 << 40,))), "EVL-TOKEN-IDS"),
    ],
)
def test_what_cannot_be_answered_is_told_to_its_asker(office: Office, question: Asked, code: str) -> None:
    office.desk.ask(1, question)
    message = office.next()
    assert (message.kind, message.body["number"], error_of(message.body).code) == ("fault", 1, code)
    assert (office.desk.coming, office.budget.held) == (0, 0)


def test_the_room_of_every_picture_is_given_back(office: Office) -> None:
    for number in range(1, 6):
        office.desk.ask(number, asked(seed=number))
    kinds: list[str] = []
    while len(kinds) < 5:
        if (message := office.next()).kind != "piece":
            kinds.append(message.kind)
    assert kinds == ["done"] * 5
    assert office.budget.held == 0


def test_a_question_that_waits_for_room_can_be_cancelled(office: Office) -> None:
    with office.budget.held_by(9_999, lambda: False):
        office.desk.ask(1, asked(seed=1))
        assert office.desk.coming == 1
        office.desk.cancel(1)
        assert office.desk.coming == 0
    office.desk.ask(2, asked())
    assert office.until_over(2)[1].kind == "done"
    assert office.budget.held == 0


def test_a_question_that_was_cancelled_comes_to_no_end_that_is_told(office: Office) -> None:
    office.desk.ask(1, replace(asked(has_end=False), max_tokens=300))  # long enough to be cancelled in time
    office.desk.cancel(1)
    office.desk.ask(2, asked())
    ends = []
    while (message := office.next()).body["number"] != 2 or message.kind == "piece":
        ends += [message.kind] if message.kind != "piece" else []
    assert (message.kind, ends) == ("done", [])


def test_cancelling_what_is_over_is_no_news(office: Office) -> None:
    office.desk.ask(1, asked())
    office.until_over(1)
    office.desk.cancel(1)
    office.desk.cancel(77)
    assert office.sent.empty()


def test_words_do_not_wait_behind_pictures_that_wait_for_room(office: Office) -> None:
    with office.budget.held_by(9_999, lambda: False):
        for number in range(1, 6):
            office.desk.ask(number, asked(seed=number))
        office.desk.ask(6, asked())
        assert office.until_over(6)[1].kind == "done"
    assert office.until_over(5)[1].kind == "done"


def pictures_here() -> list[Image.Image]:
    """Of this whole process."""
    return [each for each in gc.get_objects() if type(each) is Image.Image]


def test_a_picture_that_was_decoded_does_not_outlive_its_answer(office: Office) -> None:
    gc.collect()
    before = pictures_here()  # other tests' own
    gc.disable()
    try:
        office.desk.ask(1, asked(seed=1))
        office.until_over(1)
        office.desk.ask(2, asked())  # the loop has let go of the one before when it takes this one
        office.until_over(2)
        left = [each.size for each in pictures_here() if all(each is not other for other in before)]
        assert set(left) <= {(office.canvas, office.canvas)}, "only what the model is shown is remembered"
    finally:
        gc.enable()


class Fleeting(Held):
    """The loop lets go of it right after its ticket was looked at."""

    def __init__(self, ticket: Ticket) -> None:
        self._tickets: list[Ticket | None] = [ticket]
        super().__init__(1)

    @property
    def ticket(self) -> Ticket | None:
        return self._tickets.pop() if self._tickets else None

    @ticket.setter
    def ticket(self, ticket: Ticket | None) -> None:
        pass


class Late(Held):
    """Its ticket comes while it is being given up."""

    def __init__(self, desk: Desk, ticket: Ticket) -> None:
        super().__init__(1)
        self._desk, self._late = desk, ticket

    def give_up(self) -> None:
        super().give_up()
        self._desk._follow(self, self._late)


def test_a_question_that_ends_while_it_is_cancelled_does_no_harm(office: Office) -> None:
    ticket = Ticket(Question(office.desk._prompts.tokens_of(asked().prompt)))
    office.desk._held[1] = Fleeting(ticket)
    office.desk.cancel(1)
    assert ticket.is_cancelled


def test_a_question_is_cancelled_also_where_its_ticket_comes_at_that_moment(office: Office) -> None:
    ticket = Ticket(Question(office.desk._prompts.tokens_of(asked().prompt)))
    office.desk._held[1] = Late(office.desk, ticket)
    office.desk.cancel(1)
    assert ticket.is_cancelled


def test_small_work_that_goes_wrong_is_told_to_its_asker(office: Office) -> None:
    def work() -> Message:
        raise RecursionError

    office.desk.run(7, work)
    message = office.next()
    assert (message.kind, message.body["number"]) == ("fault", 7)
    assert error_of(message.body).code == "EVL-SERVE-FAULT"


def test_the_files_of_a_question_are_let_go_of_before_it_is_answered(bundle: Bundle) -> None:
    backend = OrtBackend(bundle, threads=1)
    office = Office(bundle, Loop(bundle, backend, Limits(slots=2)), PixelBudget(10_000))  # nobody works there
    question = asked(seed=1)
    known = weakref.ref(question)
    office.desk.ask(1, question)
    del question
    office.desk._viewers.shutdown()
    gc.collect()
    assert (office.loop.waiting, office.desk.coming, known()) == (1, 0, None)
    backend.close()


def test_nothing_is_done_for_a_question_that_was_cancelled_before_its_turn(bundle: Bundle) -> None:
    backend, may_end = OrtBackend(bundle, threads=1), Event()
    office = Office(bundle, Loop(bundle, backend, Limits(slots=2)), PixelBudget(10_000))  # nobody works there

    def work() -> Message:
        may_end.wait(LIMIT_S)
        return Message("reply", {"number": 7})

    for _ in range(HELPERS):
        office.desk.run(7, work)
    office.desk.ask(1, asked())
    office.desk.cancel(1)
    may_end.set()
    office.desk._readers.shutdown()
    assert (office.loop.waiting, office.desk.coming) == (0, 0)
    backend.close()


def test_what_is_done_at_the_desk_is_counted_refusals_and_small_work_too(office: Office) -> None:
    office.desk.ask(1, asked("x" * 100_000))
    office.until_over(1)
    assert office.desk.ended == 1
    office.desk.ask(2, asked())
    office.until_over(2)
    office.desk.run(3, lambda: Message("reply", {"number": 3}))
    office.until_over(3)
    office.desk._readers.shutdown()
    assert office.desk.ended == 3


def test_a_question_that_was_given_up_before_its_turn_is_nothing_done(office: Office) -> None:
    with office.budget.held_by(9_999, lambda: False):
        office.desk.ask(1, asked(seed=1))
        office.desk.cancel(1)
        office.desk._viewers.shutdown()
    assert office.desk.ended == 0
