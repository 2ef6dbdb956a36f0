"""Questions that come while there is no room for any: turned away before their body is read, which is most of what they cost."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from starlette.types import ASGIApp, Receive, Scope, Send

from edge_runtime.server.listener.refusal import Refusal, Refuser

MESSAGE = "there is no room for another question: ask again after the time in Retry-After"


@dataclass(frozen=True)
class Crowd:
    """`paths` are those of questions. `wait_s` tells when there should be room; None while there is."""

    paths: frozenset[str]
    wait_s: Callable[[], float | None]


def only_with_room(app: ASGIApp, crowd: Crowd, refuse: Refuser) -> ASGIApp:
    async def guarding(scope: Scope, receive: Receive, send: Send) -> None:
        is_question = scope["method"] == "POST" and scope["path"] in crowd.paths
        if is_question and (wait_s := crowd.wait_s()) is not None:
            await refuse(full(wait_s), scope, receive, send)
        else:
            await app(scope, receive, send)

    return guarding


def full(wait_s: float) -> Refusal:
    after = (b"retry-after", str(math.ceil(wait_s)).encode())
    exactly = (b"retry-after-ms", str(math.ceil(1000 * wait_s)).encode())
    return Refusal(429, "EVL-ADMISSION-FULL", MESSAGE, "rate_limit_error", (after, exactly))
