"""Questions that come while there is no room for any: turned away before their body is read, which is most of what they cost."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from uuid import uuid4

from starlette.types import ASGIApp, Receive, Scope, Send

from edge_runtime.server.listener.glance import Glance, Glancer
from edge_runtime.server.listener.refusal import Refusal, Refuser

FULL = "EVL-ADMISSION-FULL"
MESSAGE = "there is no room for another question: ask again after the time in Retry-After"
Server = tuple[str, int | None] | None  # the address a client has reached; None for a Unix socket


@dataclass(frozen=True)
class Crowd:
    """`paths` are those of questions. `wait_s` tells when there should be room; None while there is. `asker` names whoever
    would be let in if there were, "" where nobody has to say; None for all that the other guards would turn away.
    `on_turned_away` is told of a question and its asker."""

    paths: frozenset[str]
    wait_s: Callable[[], float | None]
    asker: Callable[[Glance, Server], str | None]
    on_turned_away: Callable[[Glance, str], None]

    @cached_property
    def _glancer(self) -> Glancer:
        return Glancer(self.paths)

    def turned_away(self, data: bytes, server: Server, address: str) -> bytes | None:
        """The answer to a connection that has sent this as the beginning of a request, where there is no room and a glance is enough
        to say so; None where it is to be read as any other. It costs a quarter of a request that is parsed and passed through
        all the guards: when ten times too much is asked, the rest is left for answers."""
        if (wait_s := self.wait_s()) is None or (glance := self._glancer.glance(data)) is None:
            return None
        if (asker := self.asker(glance, server)) is None:
            return None
        request_id = glance.request_id or uuid4().hex.encode()
        self.on_turned_away(replace(glance, request_id=request_id), asker or address)
        return full(wait_s).as_sent(request_id)


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
    return Refusal(429, FULL, MESSAGE, "rate_limit_error", (after, exactly))
