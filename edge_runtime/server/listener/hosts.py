"""The names this server answers to: a page elsewhere cannot point a name of its own here and read what comes back."""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import IPv6Address, ip_address

from starlette.types import ASGIApp, Receive, Scope, Send

from edge_runtime.errors import EdgeVLError, one_line
from edge_runtime.server.listener.refusal import Refusal, Refuser, header_values

ALWAYS = ("localhost", "127.0.0.1", "::1")
AUTHORITY = re.compile(r"(?P<host>\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?")
NAME = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,62})(\.[a-z0-9_]([a-z0-9_-]{0,62}))*")

NO_HOST = Refusal(
    400, "missing_host", "the request has not exactly one usable Host header: name the server in it"
)
OTHER_HOST = Refusal(
    421,
    "unknown_host",
    "the Host header is none of this server's names: use its address, or start it with that name allowed",
)


def only_own_hosts(app: ASGIApp, names: Iterable[str], refuse: Refuser) -> ASGIApp:
    """Whatever the port: a server behind another one is reached by that one's."""
    hosts = Hosts(names)

    async def vetting(scope: Scope, receive: Receive, send: Send) -> None:
        host = asked_host(scope)
        if host is None:
            await refuse(NO_HOST, scope, receive, send)
        elif not hosts.has(host, scope.get("server")):
            await refuse(OTHER_HOST, scope, receive, send)
        else:
            await app(scope, receive, send)

    return vetting


class Hosts:
    """Our names, besides the address by which a client has reached us."""

    def __init__(self, names: Iterable[str]) -> None:
        self._allowed = frozenset(own_names(names))

    def has(self, host: str, server: tuple[str, int | None] | None) -> bool:
        return host in self._allowed or host == reached_address(server)


def own_names(names: Iterable[str]) -> list[str]:
    """Checked and as they are compared. An address that means all addresses is nobody's name: browsers take it for their own
    machine's."""
    known = [plain_host(each) for each in (*ALWAYS, *names)]
    return [each for each in known if each not in ("0.0.0.0", "::")]


def plain_host(name: str) -> str:
    """Without brackets, addresses as they are usually written."""
    bare = name.strip().lower()
    bare = bare[1:-1] if bare.startswith("[") and bare.endswith("]") else bare
    try:
        return address_text(bare)
    except ValueError:
        if NAME.fullmatch(bare) and len(bare) <= 253:
            return bare
    raise EdgeVLError(
        "EVL-SERVE-HOST-NAME",
        f"{one_line(name, 100)!r} cannot be a name of this server",
        "a name is letters, digits, dashes and dots, or an address; no port, no pattern",
        "write the name as clients do, e.g. camera.local",
    )


def address_text(text: str) -> str:
    """ValueError where it is no address."""
    address = ip_address(text)
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)


def asked_host(scope: Scope) -> str | None:
    parts = authority_of(header_values(scope, b"host"))
    return None if parts is None else parts[0]


def authority_of(values: list[bytes]) -> tuple[str, int | None] | None:
    """Host and port; None unless there is exactly one value and it is well formed."""
    if len(values) != 1:
        return None
    found = AUTHORITY.fullmatch(values[0].decode("latin-1").lower())
    if found is None or int(found["port"] or 0) > 65535:
        return None
    bare = found["host"].strip("[]")
    try:
        host = address_text(bare)
    except ValueError:
        if found["host"].startswith("["):
            return None
        host = bare
    return host, int(found["port"]) if found["port"] else None


def reached_address(server: tuple[str, int | None] | None) -> str | None:
    """The address this client connected to, which is ours by that; None for a Unix socket."""
    if server is None or server[1] is None:
        return None
    try:
        return address_text(server[0])
    except ValueError:
        return None
