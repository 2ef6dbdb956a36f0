"""The addresses of a host, asked for once, and none of them taken unless all are allowed."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future

Resolve = Callable[[str], Sequence[str]]
MOST_LOOKUPS = 8  # at a time; a name server that is silent holds each for half a minute


def system_addresses(host: str) -> Sequence[str]:
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


class Lookups:
    """A look-up cannot be broken off, so each has a thread of its own that nobody waits for at the end."""

    def __init__(self, resolve: Resolve, is_allowed: Callable[[str], bool]) -> None:
        self._resolve = resolve
        self._is_allowed = is_allowed
        self._places = threading.BoundedSemaphore(MOST_LOOKUPS)

    async def addresses(self, host: str) -> Sequence[str]:
        """Raises OSError where there is none, where one of them is not allowed, or where too many look-ups hang."""
        if not self._places.acquire(blocking=False):
            raise OSError("too many look-ups are under way")
        answer: Future[list[str]] = Future()
        answer.set_running_or_notify_cancel()  # from here on nobody can cancel it under the thread
        try:
            threading.Thread(target=self._look, args=(host, answer), name="lookup", daemon=True).start()
        except RuntimeError as error:  # there are too many threads
            self._places.release()
            raise OSError("no look-up could be begun") from error
        found = await asyncio.wrap_future(answer)
        if not found:
            raise OSError("the host has no address")
        if not all(map(self._is_allowed, found)):
            raise OSError("the host has an address that is not public")
        return found

    def _look(self, host: str, answer: Future[list[str]]) -> None:
        try:
            found = list(dict.fromkeys(self._resolve(host)))
        except Exception as error:  # noqa: BLE001 - handed to whoever waits
            self._places.release()
            answer.set_exception(error)
        else:
            self._places.release()
            answer.set_result(found)
