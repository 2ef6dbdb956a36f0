"""What is logged of requests, and how: JSON lines on stderr."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edge_runtime.server.json_line import CONTENT, FIELDS, JsonLine
from edge_runtime.server.sparing import Sparing

NOTES = "edgevl.notes"
PROBES = ("/health", "/health/live", "/health/ready", "/metrics")


def log(logger: logging.Logger, level: int, event: str, /, **fields: object) -> None:
    """`event` is one of a few words; the names are of FIELDS, or `content`, which is written only where that is wanted."""
    assert fields.keys() <= {*FIELDS, CONTENT}, f"{[*fields]} are not all fields of a line"
    logger.log(level, event, extra={"fields": fields})


def note(scope: Scope, /, **fields: object) -> None:
    """What the line of this request tells besides, `client` and the tokens for example; names as in `log`."""
    assert fields.keys() <= {*FIELDS, CONTENT}, f"{[*fields]} are not all fields of a line"
    scope.setdefault(NOTES, {}).update(fields)


class Logged:
    """One line a request, at its end, however it ends. Outermost, so that it sees what the others refuse."""

    def __init__(
        self, app: ASGIApp, logger: logging.Logger, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._app = app
        self._logger = logger
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        # Shared by every copy that is made of the scope.
        scope[NOTES] = {}
        scope.setdefault("state", {})
        seen = Seen(scope, receive, send, self._clock())
        try:
            await self._app(scope, seen.receive, seen.send)
        finally:
            log(self._logger, seen.level(), "request", **seen.fields(self._clock()))


class Seen:
    """One request, as its messages tell of it."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, began: float) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._began = began
        self._status: int | None = None
        self._request_id: str | None = None
        self._has_ended = self._has_left = False

    async def receive(self) -> Message:
        message = await self._receive()
        self._has_left |= message["type"] == "http.disconnect" and not self._has_ended
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            for name, value in message.get("headers", ()):
                if name.lower() == b"x-request-id":
                    self._request_id = value.decode("latin-1")
        elif message["type"] == "http.response.body":
            self._has_ended |= not message.get("more_body", False)
        await self._send(message)

    def fields(self, now: float) -> dict[str, object]:
        noted: dict[str, object] = self._scope[NOTES]
        return {
            "request_id": self._request_id or self._scope["state"].get("request_id"),
            "method": self._scope["method"],
            "route": self._route,
            "status": self._status,
            "client": self._scope["state"].get("client"),
            "ms": round(1000 * (now - self._began), 1),
            "has_left": self._has_left or None,
        } | noted

    def level(self) -> int:
        if self._status is None:
            return logging.INFO if self._has_left else logging.ERROR
        if self._route in PROBES:  # what they find is told where it happens
            return logging.DEBUG if self._status < 400 else logging.INFO
        if self._status >= 500:
            return logging.ERROR
        return logging.WARNING if self._status >= 400 else logging.INFO

    @property
    def _route(self) -> str | None:
        """As it is declared, never as it was asked for: that may hold anything."""
        return getattr(self._scope.get("route"), "path", None)


def log_config(is_content: bool, level: str = "INFO") -> dict[str, Any]:
    """For logging.config.dictConfig, and for uvicorn, whose own lines of requests are left out for ours."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": JsonLine, "is_content": is_content}},
        "filters": {"sparing": {"()": Sparing}},
        "handlers": {
            "stderr": {
                "class": "logging.StreamHandler",
                "stream": "ext://sys.stderr",
                "formatter": "json",
                "filters": ["sparing"],
            }
        },
        "root": {"level": "WARNING", "handlers": ["stderr"]},
        "loggers": {
            "edge_runtime": {"level": level},
            "uvicorn": {"level": level},
            "uvicorn.error": {
                "level": "ERROR"
            },  # its warnings are of requests that the listener counts and logs
            "uvicorn.access": {"handlers": [], "propagate": False},
        },
    }
