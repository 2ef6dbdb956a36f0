"""Whose pages may call this server: its own, and those named exactly."""

from __future__ import annotations

import re
from collections.abc import Iterable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edge_runtime.errors import EdgeVLError, one_line
from edge_runtime.server.listener.hosts import authority_of
from edge_runtime.server.listener.refusal import Headers, Refusal, Refuser, header_values
from edge_runtime.server.listener.request_id import with_headers

ORIGIN = re.compile(
    r"[a-z][a-z0-9+.-]*://[a-z0-9._-]+(:[0-9]{1,5})?|[a-z][a-z0-9+.-]*://\[[0-9a-f:.]+\](:[0-9]{1,5})?"
)
READING = ("GET", "HEAD", "OPTIONS")
PORTS = {"http": 80, "https": 443}
# What clients of this interface send. The last one ends in any name: one widely used library adds a dozen.
ASKABLE = ("authorization", "content-type", "x-request-id", "traceparent", "x-stainless-*")
OTHER_ORIGIN = Refusal(
    403,
    "cross_origin",
    "a page of another origin may not do this: start the server with that origin allowed",
    "permission_error",
)


def only_own_origins(app: ASGIApp, origins: Iterable[str], refuse: Refuser) -> ASGIApp:
    """A request that changes or costs something comes from a page of this server, from a page of an allowed origin or from no
    page at all. Only allowed origins are told so in headers, each by its name, and never with credentials."""
    allowed = frozenset(checked_origin(each) for each in origins)

    async def vetting(scope: Scope, receive: Receive, send: Send) -> None:
        given = header_values(scope, b"origin")
        is_allowed = len(given) == 1 and given[0].decode("latin-1").lower() in allowed
        if allowed:
            send = with_vary(send)
        if is_preflight(scope):
            if is_allowed:
                await permit(scope, given[0], send)
            else:
                await refuse(OTHER_ORIGIN, scope, receive, send)
        elif is_allowed:
            await app(scope, receive, with_headers(send, told(given[0])))
        elif scope["method"] in READING or is_own(scope, given):
            await app(scope, receive, send)
        else:
            await refuse(OTHER_ORIGIN, scope, receive, send)

    return vetting


def checked_origin(origin: str) -> str:
    plain = origin.strip().lower()
    if ORIGIN.fullmatch(plain):
        return plain
    raise EdgeVLError(
        "EVL-SERVE-ORIGIN",
        f"{one_line(origin, 100)!r} is not an origin",
        "an origin is a scheme and a host, perhaps a port; there is no pattern and no path",
        "write it as browsers do, e.g. https://app.example:8443",
    )


def is_preflight(scope: Scope) -> bool:
    asks = header_values(scope, b"access-control-request-method")
    return scope["method"] == "OPTIONS" and bool(asks) and bool(header_values(scope, b"origin"))


def is_own(scope: Scope, given: list[bytes]) -> bool:
    """Only browsers send these headers, and pages cannot change them."""
    if any(site.lower() in (b"cross-site", b"same-site") for site in header_values(scope, b"sec-fetch-site")):
        return False
    if not given:
        return True
    scheme, separator, rest = given[0].decode("latin-1").lower().partition("://")
    origin, host = authority_of([rest.encode("latin-1")]), authority_of(header_values(scope, b"host"))
    if len(given) > 1 or not separator or origin is None or host is None:
        return False
    usual = PORTS.get(scheme)
    return (origin[0], origin[1] or usual) == (host[0], host[1] or usual)


def told(origin: bytes) -> Headers:
    return (
        (b"access-control-allow-origin", origin),
        (b"access-control-expose-headers", b"x-request-id, retry-after"),
    )


async def permit(scope: Scope, origin: bytes, send: Send) -> None:
    asked = b",".join(header_values(scope, b"access-control-request-headers")).decode("latin-1").lower()
    names = [name.strip() for name in asked.split(",")]
    headers = [
        (b"access-control-allow-origin", origin),
        (b"access-control-allow-methods", b"GET, POST"),
        (b"access-control-allow-headers", ", ".join(filter(is_askable, names)).encode()),
        (b"access-control-max-age", b"600"),
    ]
    await send({"type": "http.response.start", "status": 204, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


def is_askable(name: str) -> bool:
    if re.fullmatch(r"[a-z0-9-]{1,64}", name) is None:
        return False
    return any(name == known or (known[-1] == "*" and name.startswith(known[:-1])) for known in ASKABLE)


def with_vary(send: Send) -> Send:
    """A response kept for one origin is not another's."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), (b"vary", b"origin")]}
        await send(message)

    return sending
