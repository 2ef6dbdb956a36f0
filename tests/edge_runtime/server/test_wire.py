"""Frames between the two processes."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable

import pytest

from edge_runtime.errors import EdgeVLError
from edge_runtime.server.wire import (
    LONGEST_HEAD,
    MOST_FILES,
    Message,
    WireBroken,
    packed,
    received,
    received_here,
)

Read = Callable[[bytes], Message | None]
MESSAGE = Message("ask", {"number": 1, "text": "Zürich \ud800 \x00"}, (b"", b"\x00" * 70_000))


def here(data: bytes) -> Message | None:
    ours, its = socket.socketpair()
    with ours, its:
        its.sendall(data)
        its.shutdown(socket.SHUT_WR)
        return received_here(ours)


def there(data: bytes) -> Message | None:
    async def read() -> Message | None:
        reader = asyncio.StreamReader()
        reader.feed_data(data)
        reader.feed_eof()
        return await received(reader)

    return asyncio.run(read())


@pytest.mark.parametrize("read", [here, there])
def test_a_message_arrives_as_it_was_sent(read: Read) -> None:
    assert read(b"".join(packed(MESSAGE))) == MESSAGE


@pytest.mark.parametrize("read", [here, there])
def test_a_frame_that_was_cut_anywhere_is_the_end(read: Read) -> None:
    whole = b"".join(packed(MESSAGE))
    assert [read(whole[:cut]) for cut in (0, 3, 4, 40, len(whole) - 1)] == [None] * 5


@pytest.mark.parametrize("read", [here, there])
@pytest.mark.parametrize(
    "head",
    [
        b"nonsense",
        b"[]",
        b"{}",
        b'{"kind": 1, "body": {}, "files": []}',
        b'{"kind": "a", "body": [], "files": []}',
        b'{"kind": "a", "body": {}, "files": [-1]}',
        b'{"kind": "a", "body": {}, "files": [true]}',
        b'{"kind": "a", "body": {}, "files": [99999999999]}',
        b"[" * 100_000,
        b"\xff",
    ],
)
def test_what_is_no_head_is_refused(read: Read, head: bytes) -> None:
    with pytest.raises(WireBroken):
        read(struct.pack(">I", len(head)) + head)


@pytest.mark.parametrize("read", [here, there])
def test_a_head_that_would_fill_the_memory_is_not_waited_for(read: Read) -> None:
    with pytest.raises(WireBroken):
        read(struct.pack(">I", LONGEST_HEAD + 1))


def test_letters_of_other_alphabets_take_no_more_room_than_they_came_with() -> None:
    text = "\u00e9" * 10_000
    assert len(packed(Message("ask", {"text": text}))[0]) < len(text.encode()) + 100


@pytest.mark.parametrize(
    "message",
    [Message("ask", {"text": "x" * LONGEST_HEAD}), Message("ask", {}, (b"",) * (MOST_FILES + 1))],
    ids=["words", "files"],
)
def test_what_the_other_side_would_not_take_is_not_sent(message: Message) -> None:
    with pytest.raises(EdgeVLError, match="EVL-REQUEST-LENGTH"):
        packed(message)
