"""Questions that come while there is no room."""

from __future__ import annotations

import asyncio
import json

from starlette.types import Message, Receive, Scope, Send

from edge_runtime.server.listener.crowd import Crowd, only_with_room
from edge_runtime.server.listener.refusal import Refuser

PATH = "/v1/chat/completions"


class Ended:
    """What came of one request: the app's own 200, or a refusal; and how much of the body was asked for."""

    def __init__(self, wait_s: float | None, method: str = "POST", path: str = PATH) -> None:
        self.sent: list[Message] = []
        self.counted: list[str] = []
        self.reads = 0
        app = only_with_room(
            self._app, Crowd(frozenset({PATH}), lambda: wait_s), Refuser(self.counted.append, 0.1)
        )
        scope: Scope = {
            "type": "http",
            "method": method,
            "path": path,
            "headers": [(b"content-length", b"2")],
        }
        asyncio.run(app(scope, self._receive, self._send))  # type: ignore[arg-type]

    async def _app(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def _receive(self) -> Message:
        self.reads += 1
        return {"type": "http.request", "body": b"{}", "more_body": False}

    async def _send(self, message: Message) -> None:
        self.sent.append(message)

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])


def test_where_there_is_room_the_question_goes_on() -> None:
    ended = Ended(None)
    assert (ended.status, ended.counted) == (200, [])


def test_where_there_is_none_it_is_told_when_to_come_back() -> None:
    ended = Ended(1.3)
    headers = dict(ended.sent[0]["headers"])
    assert (ended.status, headers[b"retry-after"], headers[b"retry-after-ms"]) == (429, b"2", b"1300")
    assert json.loads(ended.sent[1]["body"])["error"]["code"] == "EVL-ADMISSION-FULL"
    assert ended.counted == ["EVL-ADMISSION-FULL"]


def test_nothing_but_questions_is_turned_away() -> None:
    assert Ended(1.3, path="/tokenize").status == 200
    assert Ended(1.3, method="GET").status == 200
