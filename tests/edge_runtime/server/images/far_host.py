"""A host somewhere else: on loopback, with a certificate, saying what it is told to and counting who came."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from edge_runtime.errors import EdgeVLError
from edge_runtime.server.images.remote import Network, RemotePictures

HOST = "pictures.example"
URL = f"https://{HOST}/folder/name.png?size=2#top"
BODY = b"a picture, as far as this file cares"
MOST = 100_000


@dataclass(frozen=True)
class Certificate:
    file: Path
    key: Path

    def trusted(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.file))


@dataclass
class FarHost:
    """`parts` are said one by one, `gap_s` apart; after them the connection is closed, or kept if it `stays`."""

    parts: Sequence[bytes]
    gap_s: float = 0.0
    stays: bool = False
    came: int = 0
    asked: list[bytes] = field(default_factory=list)
    port: int = 0

    @asynccontextmanager
    async def open(self, certificate: Certificate | None) -> AsyncIterator[FarHost]:
        """Without a certificate it speaks no TLS."""
        proof = None
        if certificate is not None:
            proof = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            proof.load_cert_chain(certificate.file, certificate.key)
        server = await asyncio.start_server(self.met, "127.0.0.1", 0, ssl=proof)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            await server.wait_closed()

    async def met(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.came += 1
        try:
            self.asked.append(await reader.readuntil(b"\r\n\r\n"))
            for part in self.parts:
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(self.gap_s)
            if self.stays:
                await reader.read()
        except (OSError, asyncio.IncompleteReadError):
            pass  # the other side has heard enough
        finally:
            writer.transport.abort() if self.stays else writer.close()


def network_to(port: int, certificate: Certificate, addresses: Sequence[str] = ("127.0.0.1",)) -> Network:
    """Every name is that of this machine, and this machine is public."""
    return Network(lambda _: addresses, lambda _: True, port, certificate.trusted())


def answer(body: bytes, *headers: str, status: str = "200 OK", kind: str = "image/png") -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", *headers]
    if not any(header.lower().startswith(("content-length", "transfer-encoding")) for header in headers):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def pictures(network: Network, host: str = HOST, deadline_s: float = 20.0) -> RemotePictures:
    return RemotePictures(frozenset({host}), deadline_s, MOST, network)


def fetched(far: FarHost, certificate: Certificate, deadline_s: float = 20.0) -> bytes:
    async def run() -> bytes:
        async with far.open(certificate):
            return await pictures(network_to(far.port, certificate), deadline_s=deadline_s).file(URL)

    return asyncio.run(run())


def refusal(far: FarHost, certificate: Certificate, deadline_s: float = 20.0) -> EdgeVLError:
    with pytest.raises(EdgeVLError) as caught:
        fetched(far, certificate, deadline_s)
    assert not re.search(r"127\.|0x|\.py|example|[Cc]ertificate|refused \[", str(caught.value))
    return caught.value
