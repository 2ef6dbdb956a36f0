"""What leaves the worker: sent from a thread of its own, so that whoever says something never waits for the front end."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from queue import SimpleQueue
from threading import Thread

from edge_runtime.errors import EdgeVLError
from edge_runtime.server.letters import letter_of_fault
from edge_runtime.server.wire import Message, packed

MOST_AT_ONCE = 64


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
            messages = self._bundle()
            is_open = messages[-1] is not None
            if is_heard:
                is_heard = self._is_carried([each for each in messages if each is not None])

    def _bundle(self) -> list[Message | None]:
        """All that wait, the tokens of one step for example: the front end is woken once for them. None is the last one."""
        messages = [self._waiting.get()]
        while messages[-1] is not None and len(messages) < MOST_AT_ONCE and not self._waiting.empty():
            messages.append(self._waiting.get())  # nobody else takes any
        return messages

    def _is_carried(self, messages: Sequence[Message]) -> bool:
        try:
            self._link.sendall(b"".join(part for each in messages for part in parts_of(each)))
        except ConnectionError:
            return False
        return True


def parts_of(message: Message) -> list[bytes]:
    """Its frame; instead of a reply that is too long, that it is."""
    try:
        return packed(message)
    except EdgeVLError as error:
        return packed(letter_of_fault(int(str(message.body["number"])), error))
