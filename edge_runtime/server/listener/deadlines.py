"""A connection that has a time for everything: uvicorn by itself waits for ever."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, ClassVar, cast

import h11
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from edge_runtime.server.listener.crowd import Crowd
from edge_runtime.server.listener.door import Door
from edge_runtime.server.listener.outlet import Outlet
from edge_runtime.server.listener.refusal import Refusal
from edge_runtime.server.listener.rules import GuardRules
from edge_runtime.server.listener.scrutiny import Scrutiny

BAD_REQUEST = Refusal(400, "bad_request", "this is not a request as HTTP has it: mend the client")
HEAD_TOO_LARGE = Refusal(431, "headers_too_large", "the request has too many or too long headers: send fewer")
HEAD_TOO_SLOW = Refusal(
    408,
    "headers_too_slow",
    "the request's headers did not come in time: use a faster connection",
    headers=((b"x-should-retry", b"false"),),
)
NO_PLACE = Refusal(
    503,
    "too_many_connections",
    "too many clients are at work here, or too many of yours: try again in a moment",
    "server_error",
    ((b"retry-after", b"1"),),
)
STALLED = "client_stalled"


class Stage(Enum):
    """What a connection waits for."""

    REQUEST = "the first byte of a request"
    HEAD = "the rest of its head"
    ANSWER = "the app"
    REST = "the end of a body that nobody wants any more"


@dataclass(frozen=True)
class Terms:
    """What all connections of one listener share."""

    rules: GuardRules
    door: Door
    on_rejected: Callable[[str], None]
    crowd: Crowd | None = None

    def seconds_for(self, stage: Stage) -> float | None:
        """The app has its own deadlines."""
        rules = self.rules
        limits = {Stage.REQUEST: rules.idle_s, Stage.HEAD: rules.header_s, Stage.REST: rules.linger_s}
        return limits.get(stage)


class DeadlineProtocol(H11Protocol):
    terms: ClassVar[Terms]

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        rules = self.terms.rules
        self.conn: Scrutiny = Scrutiny(rules.max_headers, rules.max_header_bytes)
        self._stage: Stage | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._is_turned_away = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        rules = self.terms.rules
        self._outlet = Outlet(
            transport, self.loop.call_later, rules.stall_s, rules.stall_bytes_per_s, self._stalled
        )
        plug = cast("socket.socket", transport.get_extra_info("socket"))
        plug.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, rules.send_buffer_bytes)
        super().connection_made(self._outlet)
        if self.terms.door.enter(self, self.client[0] if self.client else None):
            self._watch()
        else:
            self._turn_away(NO_PLACE, can_linger=False)

    def connection_lost(self, exc: Exception | None) -> None:
        self.terms.door.leave(self)
        self._set_deadline(None)
        self._outlet.stop()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._is_turned_away:
            return
        crowd = self.terms.crowd
        if crowd is not None and self._stage is Stage.REQUEST:
            address = self.client[0] if self.client else "local"
            if (answer := crowd.turned_away(data, self.server, address)) is not None:
                self._end_with(answer, can_linger=True)
                return
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._unset_keepalive_if_required()  # ours stands in its place
        self._watch()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  (the words are fixed here)
        self._turn_away(HEAD_TOO_LARGE if self.conn.fault_status == 431 else BAD_REQUEST)

    def shutdown(self) -> None:
        """The server ends: whoever is not being answered is let go."""
        if self._is_turned_away:
            self.transport.close()
        else:
            super().shutdown()

    def make_way(self) -> None:
        """For a newcomer. A client that has not asked anything yet is perhaps about to, and is told."""
        if self.cycle or self._is_turned_away:
            self.transport.close()
        else:
            self._turn_away(NO_PLACE, can_linger=False)

    def _watch(self) -> None:
        """A deadline is set when a stage begins; nothing that comes within the stage puts it off."""
        if self._is_turned_away or self.transport.is_closing():
            return
        stage = self._stage_now()
        if stage is self._stage:
            return
        self._stage = stage
        self._set_deadline(self.terms.seconds_for(stage))
        if stage in (Stage.REQUEST, Stage.HEAD):
            self.terms.door.rest(self)
        else:
            self.terms.door.work(self)

    def _stage_now(self) -> Stage:
        if self.conn.their_state is h11.IDLE:
            return Stage.HEAD if self.conn.has_part else Stage.REQUEST
        is_answered = bool(self.cycle) and self.cycle.response_complete
        return Stage.REST if is_answered and self.conn.their_state is h11.SEND_BODY else Stage.ANSWER

    def _set_deadline(self, seconds: float | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = None if seconds is None else self.loop.call_later(seconds, self._time_is_up)

    def _time_is_up(self) -> None:
        if self._stage is Stage.HEAD and not self._is_turned_away:
            self._turn_away(HEAD_TOO_SLOW, can_linger=False)
        else:
            self.transport.close()

    def _turn_away(self, refusal: Refusal, can_linger: bool = True) -> None:
        self.terms.on_rejected(refusal.code)
        self._end_with(refusal.as_sent(), can_linger)

    def _end_with(self, answer: bytes, can_linger: bool) -> None:
        """The app, if it was asked already, sees that the client is gone."""
        self._is_turned_away = True
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.abort()
            return
        if self.cycle and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.waiting_for_100_continue = False  # it would still be asked for its body
            self.cycle.message_event.set()
        self.transport.write(answer)
        if can_linger and self.transport.can_write_eof():
            # Closed with something unread, a connection breaks before the client reads why.
            self.flow.resume_reading()
            self.transport.write_eof()
            self._set_deadline(self.terms.rules.linger_s)
        else:
            self.transport.close()

    def _stalled(self) -> None:
        self.terms.on_rejected(STALLED)


def protocol_class(
    rules: GuardRules, on_rejected: Callable[[str], None], crowd: Crowd | None = None
) -> type[DeadlineProtocol]:
    """For one listener; another one has its own places. `on_rejected` is told the code of every refusal."""
    door = Door(rules.max_connections, rules.max_per_address)

    class ListenerProtocol(DeadlineProtocol):
        terms = Terms(rules, door, on_rejected, crowd)

    return ListenerProtocol
