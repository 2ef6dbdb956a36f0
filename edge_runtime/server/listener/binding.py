"""Whether a server may listen where it was told to: beyond this machine only with keys, or when no keys are asked for aloud."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from ipaddress import IPv6Address, ip_address

from edge_runtime.errors import EdgeVLError, one_line

Resolve = Callable[[str], Sequence[str]]


def addresses_of(host: str) -> list[str]:
    """All that a server told to listen at `host` would listen at; OSError where the name is unknown."""
    found = socket.getaddrinfo(host or None, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return sorted({str(where[0]) for *_, where in found})


def check_binding(
    host: str, has_keys: bool, is_insecure_allowed: bool, resolve: Resolve = addresses_of
) -> tuple[str, ...]:
    """The addresses that were checked: listen at these, since a name may mean another one a moment later."""
    try:
        addresses = tuple(resolve(host))
    except (OSError, UnicodeError):
        addresses = ()
    shown = one_line(host, 100) or "every address"
    if not addresses:
        raise EdgeVLError(
            "EVL-SERVE-HOST", f"cannot listen at {shown}", "it means no address", "give --host an address"
        )
    beyond = [each for each in addresses if not is_loopback(each)]
    if beyond and not has_keys and not is_insecure_allowed:
        raise EdgeVLError(
            "EVL-SERVE-NO-KEY",
            f"will not listen at {shown} without keys",
            f"{beyond[0]} can be reached from other machines, so anybody there could use this server",
            "give --api-key-file, or listen at 127.0.0.1; --insecure-no-auth if everybody may",
        )
    return addresses


def is_loopback(text: str) -> bool:
    address = ip_address(text.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback
