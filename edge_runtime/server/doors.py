"""The sockets a server listens at: an address of the machine, or a path."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from edge_runtime.errors import EdgeVLError

CODE = "EVL-SERVE-PORT"
BACKLOG = 2048
MODE = 0o660  # its owner and its group: who else may come near is a matter of the folder
ABSENT = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}


@contextmanager
def doors_at(addresses: Sequence[str], port: int) -> Iterator[Sequence[socket.socket]]:
    """One for each, all with one port, listened at."""
    with contextlib.ExitStack() as held:
        found: list[socket.socket] = []
        for address in addresses:
            shared = found[0].getsockname()[1] if found else port
            family, _, _, _, place = socket.getaddrinfo(
                address, shared, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST
            )[0]
            door = held.enter_context(socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC))
            try:
                bind(door, place)
            except OSError as fault:
                if found and fault.errno in ABSENT:  # as ::1 beside 127.0.0.1, where there is no IPv6
                    continue
                raise refused(f"{address} port {shared}", fault) from fault
            found.append(door)
        yield found


def bind(door: socket.socket, place: tuple[object, ...]) -> None:
    door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if door.family == socket.AF_INET6:
        door.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    door.bind(place)
    door.listen(BACKLOG)  # two that are only bound may have one port


def refused(what: str, fault: OSError) -> EdgeVLError:
    if fault.errno == errno.EADDRINUSE:
        why, fix = "another process listens there", "end it, or choose another --port (0: any free one)"
    elif fault.errno in (errno.EACCES, errno.EPERM):
        why, fix = "this user may not listen there", "choose a --port above 1023"
    else:
        why, fix = fault.strerror or type(fault).__name__, "choose another --host or --port"
    return EdgeVLError(CODE, f"{what} cannot be listened at", why, fix)


@contextmanager
def door_at_path(path: Path) -> Iterator[socket.socket]:
    """A Unix socket, gone afterwards. What a dead server left there is replaced; nothing else is."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as door:
        try:
            sweep(path)
            door.bind(os.fspath(path))
            path.chmod(MODE)  # nobody can connect before somebody listens
            own = path.lstat()
            door.listen(BACKLOG)
        except OSError as fault:
            why = fault.strerror or str(fault)
            raise unusable(path, why, "choose a shorter path in a folder you may write to") from fault
        try:
            yield door
        finally:
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(path.lstat(), own):
                    path.unlink()


def sweep(path: Path) -> None:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise unusable(path, "it is there already, and is no socket", "choose another path")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
        caller.settimeout(1.0)
        try:
            caller.connect(os.fspath(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except TimeoutError:
            pass  # somebody is there, and busy
    raise unusable(path, "another process listens there", "end it, or choose another path")


def unusable(path: Path, why: str, fix: str) -> EdgeVLError:
    return EdgeVLError(CODE, f"{path} cannot be listened at", why, fix)
