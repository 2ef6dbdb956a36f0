"""A name for every request, the client's own where it is a sober one; on every response."""

from __future__ import annotations

import re
from uuid import uuid4

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edge_runtime.server.listener.refusal import Headers, header_values

REQUEST_ID = re.compile(rb"[A-Za-z0-9_-]{1,64}")
# https://www.w3.org/TR/trace-context: version, trace, span, flags; version ff and all zeros mean nothing.
TRACEPARENT = re.compile(rb"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def named(app: ASGIApp) -> ASGIApp:
    """The name is in `scope["state"]["request_id"]`, a valid traceparent in `scope["state"]["traceparent"]`."""

    async def naming(scope: Scope, receive: Receive, send: Send) -> None:
        request_id = request_id_of(scope)
        trace = traceparent_of(scope)
        state = scope.setdefault("state", {})
        state["request_id"] = request_id.decode()
        headers: Headers = ((b"x-request-id", request_id),)
        if trace is not None:
            state["traceparent"] = trace.decode()
            headers += ((b"traceparent", trace),)
        await app(scope, receive, with_headers(send, headers))

    return naming


def request_id_of(scope: Scope) -> bytes:
    given = header_values(scope, b"x-request-id")
    if len(given) == 1 and REQUEST_ID.fullmatch(given[0]):
        return given[0]
    return uuid4().hex.encode()


def traceparent_of(scope: Scope) -> bytes | None:
    given = header_values(scope, b"traceparent")
    return given[0] if len(given) == 1 and TRACEPARENT.fullmatch(given[0]) else None


def with_headers(send: Send, headers: Headers) -> Send:
    """They stand in place of the app's own of the same names."""
    names = {name for name, _ in headers}

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            kept = [each for each in message.get("headers", ()) if each[0].lower() not in names]
            message = {**message, "headers": [*kept, *headers]}
        await send(message)

    return sending
