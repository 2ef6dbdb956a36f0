"""Every line of the log is one line of JSON, says nothing of what was asked, and cannot be had too often."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import logging.config
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse, StreamingResponse
from starlette.types import Receive, Scope, Send

from edge_runtime.errors import EdgeVLError
from edge_runtime.server.json_line import LONGEST_CONTENT, MOST_CONTENT, JsonLine
from edge_runtime.server.logs import Logged, log, log_config, note
from edge_runtime.server.sparing import Sparing
from tests.edge_runtime.server.http.asgi import Asker, call

SECRET = "what the neighbour said"


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Book:
    """A logger of its own whose lines can be read back."""

    def __init__(self, is_content: bool = False, sparing: Sparing | None = None) -> None:
        self._text = io.StringIO()
        handler = logging.StreamHandler(self._text)
        handler.setFormatter(JsonLine(is_content))
        if sparing is not None:
            handler.addFilter(sparing)
        self.logger = logging.Logger("edge_runtime.tried", logging.DEBUG)
        self.logger.addHandler(handler)

    @property
    def text(self) -> str:
        return self._text.getvalue()

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]

    @property
    def line(self) -> dict[str, Any]:
        (line,) = self.lines
        return line


def answering(book: Book, clock: Clock | None = None) -> Logged:
    app = FastAPI()

    @app.get("/things/{name}")
    async def thing(name: str, request: Request) -> PlainTextResponse:
        note(request.scope, client="kitchen", prompt_tokens=5, completion_tokens=7, content=SECRET)
        if clock is not None:
            clock.now += 0.25
        return PlainTextResponse(name, headers={"X-Request-Id": "r-1"})

    @app.get("/health/live")
    async def live() -> PlainTextResponse:
        return PlainTextResponse("yes")

    @app.get("/broken")
    async def broken() -> None:
        raise RuntimeError(SECRET)

    return Logged(app, book.logger, clock or Clock())


def test_a_request_is_one_line_at_its_end() -> None:
    book, clock = Book(), Clock()
    asyncio.run(call(answering(book, clock), "GET", f"/things/lamp?q={SECRET.replace(' ', '')}"))
    line = book.line
    assert line.pop("ts").endswith("Z")
    assert line == {
        "level": "info",
        "event": "request",
        "request_id": "r-1",
        "method": "GET",
        "route": "/things/{name}",
        "status": 200,
        "ms": 250.0,
        "client": "kitchen",
        "prompt_tokens": 5,
        "completion_tokens": 7,
    }


def test_what_others_know_of_a_request_is_told_where_nobody_noted_it() -> None:
    book = Book()
    state = {"request_id": "r-2", "client": "shed"}
    asyncio.run(call(answering(book), "GET", "/nowhere", state=state))
    assert (book.line["request_id"], book.line["client"]) == ("r-2", "shed")


def test_a_path_nobody_declared_is_not_told() -> None:
    book = Book()
    asyncio.run(call(answering(book), "GET", "/secret/path"))
    assert (book.line["status"], book.line["level"]) == (404, "warning")
    assert "secret" not in book.text


def test_a_probe_that_went_well_is_for_those_who_look_closely() -> None:
    book = Book()
    asyncio.run(call(answering(book), "GET", "/health/live"))
    assert book.line["level"] == "debug"


def test_a_fault_is_a_line_too_and_goes_on() -> None:
    book = Book()
    reply = asyncio.run(call(answering(book), "GET", "/broken"))
    assert isinstance(reply.raised, RuntimeError)
    assert (book.line["status"], book.line["level"]) == (500, "error")


def test_a_client_that_went_away_before_an_answer_is_told() -> None:
    book = Book()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await receive()

    async def left() -> None:
        asker = Asker()
        asker.goes.set()
        await call(Logged(app, book.logger), "GET", "/", asker=asker)

    asyncio.run(left())
    assert book.line["has_left"] is True
    assert "status" not in book.line


def test_a_client_that_went_away_within_a_stream_is_told() -> None:
    book = Book()

    async def endless() -> AsyncIterator[str]:
        while True:
            yield "word "
            await asyncio.sleep(0)

    async def left() -> None:
        asker = Asker()

        async def heard(piece: bytes) -> None:
            asker.goes.set()

        asker.heard = heard
        await call(Logged(StreamingResponse(endless()), book.logger), "GET", "/", asker=asker)

    asyncio.run(left())
    assert (book.line["status"], book.line["has_left"]) == (200, True)


def test_going_away_after_the_answer_is_not_leaving() -> None:
    book = Book()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse("all")(scope, receive, send)
        await receive()
        await receive()

    async def left() -> None:
        asker = Asker()
        asker.goes.set()
        await call(Logged(app, book.logger), "GET", "/", asker=asker)

    asyncio.run(left())
    assert "has_left" not in book.line


def test_a_request_that_is_given_up_is_told() -> None:
    book = Book()
    has_begun = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        has_begun.set()
        await asyncio.Event().wait()

    async def given_up() -> None:
        task = asyncio.create_task(call(Logged(app, book.logger), "GET", "/"))
        await has_begun.wait()
        task.cancel()
        await asyncio.wait([task])

    asyncio.run(given_up())
    assert book.line["event"] == "request"


def test_what_is_no_request_passes_through() -> None:
    seen = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["type"])

    async def passed() -> None:
        logged: Any = Logged(app, Book().logger)
        await logged({"type": "lifespan"}, None, None)

    asyncio.run(passed())
    assert seen == ["lifespan"]


@pytest.mark.parametrize(
    "text", ["a\nb", "a\r\n{}", "a\u2028b", "a\x00\x1b[31mb", "\ud800", 'a"}\n{"level": "x']
)
def test_no_text_makes_a_second_line(text: str) -> None:
    book = Book()
    log(book.logger, logging.WARNING, "refused", request_id=text)
    book.logger.warning("a library says %s", text)
    assert len(book.text.splitlines()) == 2
    assert book.text.isascii()
    assert [line["level"] for line in book.lines] == ["warning", "warning"]


def test_a_long_text_is_cut() -> None:
    book = Book()
    log(book.logger, logging.INFO, "engine", message="x" * 100_000)
    assert len(book.text) < 1000


def test_content_is_written_only_where_that_is_wanted() -> None:
    quiet, telling = Book(), Book(is_content=True)
    for book in (quiet, telling):
        asyncio.run(call(answering(book), "GET", "/things/lamp"))
    assert SECRET not in quiet.text
    assert telling.line["content"] == SECRET


class Said:
    def told(self) -> object:
        return {"asked": ["x" * 100_000], "answered": ["y"] * 10_000, "pictures": 2}


def test_content_is_put_together_only_where_it_is_written_and_no_longer_than_a_log_can_bear() -> None:
    quiet, telling = Book(), Book(is_content=True)
    for book in (quiet, telling):
        log(book.logger, logging.INFO, "request", content=Said())
    assert "content" not in quiet.line
    content = telling.line["content"]
    assert content["asked"] == ["x" * LONGEST_CONTENT + "…"]
    assert content["answered"] == ["y"] * MOST_CONTENT
    assert content["pictures"] == 2


def broken(book: Book, error: Exception) -> None:
    try:
        raise error
    except type(error):
        book.logger.exception("Exception in ASGI application\n")


def test_a_foreign_error_is_told_by_its_kind_and_its_place() -> None:
    quiet, telling = Book(), Book(is_content=True)
    for book in (quiet, telling):
        broken(book, ValueError(SECRET))
    assert SECRET not in quiet.text
    assert quiet.line["fault"] == "ValueError"
    assert quiet.line["at"][-1].startswith("test_logs.py:")
    assert telling.line["words"] == SECRET


def test_an_error_of_ours_is_told_in_its_words() -> None:
    book = Book()
    broken(book, EdgeVLError("EVL-TRIED", "it was tried", "for once", "try again"))
    assert book.line["code"] == "EVL-TRIED"
    assert "try again" in book.line["words"]


def test_a_field_nobody_knows_is_a_mistake_of_ours() -> None:
    with pytest.raises(AssertionError):
        log(Book().logger, logging.INFO, "request", prompt=SECRET)
    with pytest.raises(AssertionError):
        note({}, prompt=SECRET)


def test_numbers_json_has_no_word_for_are_texts() -> None:
    book = Book()
    log(book.logger, logging.INFO, "request", ms=float("nan"))
    assert book.line["ms"] == "nan"


def test_refusals_of_a_kind_are_few_in_a_second_and_the_missing_are_counted() -> None:
    clock = Clock()
    book = Book(sparing=Sparing(warnings_per_s=3, clock=clock))
    for _ in range(10):
        log(book.logger, logging.WARNING, "request", status=401)
    log(book.logger, logging.WARNING, "request", status=429)
    clock.now += 1
    log(book.logger, logging.WARNING, "request", status=401)
    log(book.logger, logging.WARNING, "request", status=401)
    assert [line["status"] for line in book.lines] == [401, 401, 401, 429, 401, 401]
    assert [line.get("suppressed") for line in book.lines[-2:]] == [7, None]


def test_lines_of_a_library_are_of_a_kind_whatever_is_filled_in() -> None:
    clock = Clock()
    book = Book(sparing=Sparing(warnings_per_s=2, clock=clock))
    for number in range(10):
        book.logger.warning("invalid request %d", number)
    clock.now += 1
    book.logger.warning("invalid request %d", 10)
    assert len(book.lines) == 3
    assert book.lines[-1] | {"ts": ""} == {
        "ts": "",
        "level": "warning",
        "event": "log",
        "logger": "edge_runtime.tried",
        "message": "invalid request 10",
        "suppressed": 8,
    }


def test_a_kind_for_every_line_does_not_grow_for_ever() -> None:
    book = Book(sparing=Sparing(warnings_per_s=5, clock=Clock()))
    for number in range(2000):
        book.logger.warning(f"number {number}")
    assert 256 <= len(book.lines) <= 256 + 5


def test_answers_are_let_through_more_freely_than_refusals() -> None:
    book = Book(sparing=Sparing(warnings_per_s=1, lines_per_s=20, clock=Clock()))
    for _ in range(30):
        log(book.logger, logging.INFO, "request", status=200)
    assert len(book.lines) == 20


@contextmanager
def configured(is_content: bool) -> Iterator[io.StringIO]:
    """The configuration in force, on a text instead of stderr."""
    text = io.StringIO()
    config = log_config(is_content)
    config["handlers"]["stderr"]["stream"] = text
    root = logging.getLogger()
    loggers = [root, *map(logging.getLogger, config["loggers"])]
    before = [(logger, logger.level, logger.propagate, logger.handlers[:]) for logger in loggers]
    try:
        logging.config.dictConfig(config)
        yield text
    finally:
        for logger, level, propagate, handlers in before:
            logger.setLevel(level)
            logger.propagate, logger.handlers[:] = propagate, handlers


def test_the_configuration_makes_lines_of_ours_and_of_the_servers() -> None:
    with configured(is_content=False) as text:
        log(logging.getLogger("edge_runtime.server"), logging.INFO, "request", content=SECRET, status=200)
        logging.getLogger("uvicorn.error").error("Exception in ASGI application [%d]", 7)
        logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")
        logging.getLogger("uvicorn.access").info('"GET /secret?key=1"')
        logging.getLogger("asyncio").error("a task was lost")
        logging.getLogger("asyncio").info("unheard")
    lines = [json.loads(line) for line in text.getvalue().splitlines()]
    assert [line.get("message", line["event"]) for line in lines] == [
        "request",
        "Exception in ASGI application [7]",
        "a task was lost",
    ]
    assert SECRET not in text.getvalue()


def test_the_configuration_is_for_stderr() -> None:
    assert log_config(is_content=False)["handlers"]["stderr"]["stream"] == "ext://sys.stderr"
