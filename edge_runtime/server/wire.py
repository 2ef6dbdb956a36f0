"""What the two processes send each other: frames of a JSON head and files, over one socket that nobody else can reach."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from edge_runtime.errors import EdgeVLError

LENGTH = struct.Struct(">I")
LONGEST_HEAD = 32 << 20
MOST_FILES = 256
LARGEST_FILE = 256 << 20


class WireBroken(Exception):
    """What came is no frame: the other side is not what it should be."""


@dataclass(frozen=True)
class Message:
    """`body` is what JSON can hold."""

    kind: str
    body: Mapping[str, object]
    files: tuple[bytes, ...] = ()


def packed(message: Message) -> list[bytes]:
    """The parts of its frame, in order. EVL-REQUEST-LENGTH where the other side would not take it."""
    sizes = [len(each) for each in message.files]
    head = {"kind": message.kind, "body": message.body, "files": sizes}
    text = json.dumps(head, ensure_ascii=False).encode("utf-8", "surrogatepass")
    if len(text) > LONGEST_HEAD or not are_sizes(sizes):
        raise length_error(len(text), sizes)
    return [LENGTH.pack(len(text)) + text, *message.files]


def length_error(length: int, sizes: Sequence[int]) -> EdgeVLError:
    why = (
        f"it is {length} bytes of words and {len(sizes)} files, the largest of {max(sizes, default=0)} bytes; the limits"
        f" are {LONGEST_HEAD}, {MOST_FILES} and {LARGEST_FILE}"
    )
    return EdgeVLError("EVL-REQUEST-LENGTH", "this is too much for one question", why, "ask with less")


class Head:
    """The first part of a frame, read."""

    def __init__(self, text: bytes) -> None:
        try:
            head = json.loads(text)
            self.kind, self.body, self.sizes = head["kind"], head["body"], head["files"]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise WireBroken("a frame's head is not read") from error
        is_formed = (
            isinstance(self.kind, str) and isinstance(self.body, dict) and isinstance(self.sizes, list)
        )
        if not is_formed or not are_sizes(self.sizes):
            raise WireBroken("a frame's head is not what it should be")

    def message(self, files: list[bytes]) -> Message:
        return Message(self.kind, cast("Mapping[str, object]", self.body), tuple(files))


def are_sizes(sizes: Sequence[object]) -> bool:
    return len(sizes) <= MOST_FILES and all(type(size) is int and 0 <= size <= LARGEST_FILE for size in sizes)


def checked_length(prefix: bytes) -> int:
    length: int = LENGTH.unpack(prefix)[0]
    if length > LONGEST_HEAD:
        raise WireBroken("a frame's head is too long")
    return length


async def received(reader: asyncio.StreamReader) -> Message | None:
    """The next message; None where the other side has closed, also in the middle of one. Raises WireBroken."""
    try:
        head = Head(await reader.readexactly(checked_length(await reader.readexactly(LENGTH.size))))
        return head.message([await reader.readexactly(size) for size in head.sizes])
    except (asyncio.IncompleteReadError, ConnectionError):
        return None


def received_here(link: socket.socket) -> Message | None:
    """As `received`, for a thread that waits."""
    prefix = exactly(link.recv_into, LENGTH.size)
    if prefix is None or (text := exactly(link.recv_into, checked_length(prefix))) is None:
        return None
    head, files = Head(text), list[bytes]()
    for size in head.sizes:
        if (data := exactly(link.recv_into, size)) is None:
            return None
        files.append(data)
    return head.message(files)


def exactly(recv_into: Callable[[memoryview], int], size: int) -> bytes | None:
    data = bytearray(size)
    rest = memoryview(data)
    while rest:
        try:
            count = recv_into(rest)
        except ConnectionError:
            return None
        if not count:
            return None
        rest = rest[count:]
    return bytes(data)
