"""How many files and sockets this process may have open."""

from __future__ import annotations

import resource

OTHERS = 256  # besides connections: health's, libraries, pictures, the page, the engine's socket
UNBOUND = resource.RLIM_INFINITY


def room_for(connections: int) -> int:
    """How many connections there is room for, at least one, after asking for so much as these need."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + OTHERS
    if soft != UNBOUND and soft < wanted:
        soft = raised(soft, wanted if hard == UNBOUND else min(wanted, hard), hard)
    return wanted if soft == UNBOUND else max(1, soft - OTHERS)


def raised(soft: int, wanted: int, hard: int) -> int:
    """The old limit where a service's own rules forbid to change it, as systemd's @resources does."""
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError):
        return soft
    return wanted
