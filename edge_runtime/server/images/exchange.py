"""One question and answer of HTTP over a connection that is open: a picture, or no answer that is worth reading on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import h11

from edge_runtime.errors import EdgeVLError
from edge_runtime.picture_limits import check_length
from edge_runtime.server.images.remote_url import RemoteUrl

HEAD_BYTES = 16 * 1024
READ_BYTES = 64 * 1024


async def picture_over(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, url: RemoteUrl, most_bytes: int
) -> bytes:
    """Raises EdgeVLError for an answer without a picture, h11.RemoteProtocolError for what is no HTTP."""
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_BYTES)
    for part in (_question(url), h11.EndOfMessage()):
        writer.write(connection.send(part) or b"")
    await writer.drain()
    data = bytearray()
    async for event in _events(connection, reader):
        if isinstance(event, h11.Response):
            _check_answer(event, most_bytes)
        elif isinstance(event, h11.Data):
            data += event.data
            check_length(len(data), most_bytes)
    return bytes(data)


def _question(url: RemoteUrl) -> h11.Request:
    headers = {
        "Host": url.host,
        "Accept": "image/*",
        "Accept-Encoding": "identity",
        "User-Agent": "edge-vl",
        "Connection": "close",
    }
    return h11.Request(method="GET", target=url.target, headers=list(headers.items()))


async def _events(connection: h11.Connection, reader: asyncio.StreamReader) -> AsyncIterator[h11.Event]:
    """Up to the end of the answer."""
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(READ_BYTES))
        elif isinstance(event, h11.Event):
            if isinstance(event, h11.EndOfMessage):
                return
            yield event
        else:
            raise h11.RemoteProtocolError("the answer changes to something else than HTTP")


def _check_answer(answer: h11.Response, most_bytes: int) -> None:
    if 300 <= answer.status_code < 400:
        raise no_picture("the host points to another address, and such pointers are not followed")
    if answer.status_code != 200:
        raise no_picture("the host did not answer with a picture")
    headers = {name.decode("ascii"): value.decode("latin-1") for name, value in answer.headers}
    if not headers.get("content-type", "").lower().startswith("image/"):
        raise no_picture("the host calls its answer something else than a picture")
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise no_picture("the host packed its answer, and was asked not to")
    check_length(int(headers.get("content-length", 0)), most_bytes)


def no_picture(why: str) -> EdgeVLError:
    return EdgeVLError(
        "EVL-IMAGE-FETCH",
        "the picture could not be fetched",
        why,
        "send the picture itself as a data address",
    )
