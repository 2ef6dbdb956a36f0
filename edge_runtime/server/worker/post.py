"""What leaves the worker: sent from a thread of its own, so that whoever says something never waits for the front end."""

from __future__ import annotations

import socket
from queue import SimpleQueue
from threading import Thread

from edge_runtime.errors import EdgeVLError
from edge_runtime.server.letters import letter_of_fault
from edge_runtime.server.wire import Message, packed

BUNDLE_BYTES = 1 << 16


class Post:
    """Messages arrive in the order they were sent in. When the front end is gone they are dropped: nobody is left to tell."""

    def __init__(self, link: socket.socket) -> None:
        self._link = link
        self._waiting: SimpleQueue[Message | None] = SimpleQueue()
        self._thread = Thread(target=self._carry, name="post", daemon=True)
        self._thread.start()

    def send(self, message: Message) -> None:
        self._waiting.put(message)

    def close(self) -> None:
        """What was sent before is carried first."""
        self._waiting.put(None)
        self._thread.join()

    def _carry(self) -> None:
        is_heard, is_open = True, True
        while is_open:
            data, is_open = self._bundle()
            if is_heard:
                is_heard = self._is_carried(data)

    def _bundle(self) -> tuple[bytearray, bool]:
        """What waits, the tokens of one step for example, up to a size: the front end is woken once for them. And whether more may come."""
        data, message = bytearray(), self._waiting.get()
        while message is not None:
            for part in parts_of(message):
                data += part
            if len(data) >= BUNDLE_BYTES or self._waiting.empty():  # nobody else takes any
                return data, True
            message = self._waiting.get()
        return data, False

    def _is_carried(self, data: bytearray) -> bool:
        try:
            self._link.sendall(data)
        except ConnectionError:
            return False
        return True


def parts_of(message: Message) -> list[bytes]:
    """Its frame; instead of a reply that is too long, that it is."""
    try:
        return packed(message)
    except EdgeVLError as error:
        return packed(letter_of_fault(int(str(message.body["number"])), error))
