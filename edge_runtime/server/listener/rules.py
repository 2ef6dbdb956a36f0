"""Every number and name that decides who is let in, and for how long."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

from edge_runtime.errors import EdgeVLError

KIB, MIB = 1 << 10, 1 << 20


@dataclass(frozen=True)
class GuardRules:
    """Checked when made. Seconds are counted by a clock that nobody sets."""

    # the connection
    max_connections: int = 1024
    max_per_address: int = 256  # one IPv6 network of 64 bits counts as one address
    idle_s: float = 60.0  # without a byte of a request, first or next
    header_s: float = 5.0  # from the first byte of a request to the end of its head
    linger_s: float = 2.0  # what a refused client still sends is thrown away that long, so that it reads why
    max_headers: int = 100
    max_header_bytes: int = 16 * KIB
    stall_s: float = 10.0  # this often, a client that has an answer to read must have read
    stall_bytes_per_s: int = KIB  # at least this much
    send_buffer_bytes: int = (
        64 * KIB
    )  # that the system keeps for a client; what it holds cannot be seen to stall

    # the body
    max_body_bytes: int = 16 * MIB
    max_held_bytes: int = 256 * MIB  # of all bodies at once
    body_s: float = 10.0  # for the whole body, and
    body_bytes_per_s: int = 128 * KIB  # a second more for every so many bytes that came

    # the names
    hosts: Sequence[str] = ()  # that this server is called by, besides localhost and the address one reached
    cors_origins: Sequence[str] = ()  # whose pages may call this server

    def __post_init__(self) -> None:
        for known in fields(self):
            value = getattr(self, known.name)
            if known.name in ("hosts", "cors_origins"):
                continue
            if not (value > 0 and math.isfinite(value)):
                raise EdgeVLError(
                    "EVL-SERVE-RULE",
                    f"{known.name} cannot be used",
                    f"{value!r} is not a number above 0",
                    "give it another value",
                )
        if isinstance(self.hosts, str) or isinstance(self.cors_origins, str):
            raise TypeError("hosts and cors_origins are lists of names")
        if self.max_held_bytes < self.max_body_bytes:
            raise EdgeVLError(
                "EVL-SERVE-RULE",
                "no request of full size could ever be read",
                f"one body may have {self.max_body_bytes} bytes, all together {self.max_held_bytes}",
                "raise max_held_bytes or lower max_body_bytes",
            )
