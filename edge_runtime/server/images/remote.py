"""Pictures from other hosts: only from those that were named, over https, to an address that was looked at first."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field

import h11

from edge_runtime.errors import EdgeVLError
from edge_runtime.server.images.address import is_public_address
from edge_runtime.server.images.exchange import no_picture, picture_over
from edge_runtime.server.images.lookup import Lookups, Resolve, system_addresses
from edge_runtime.server.images.remote_url import RemoteUrl, is_host_name, remote_url_from_text

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]
MOST_FETCHES = 8  # at a time, of all requests together


@dataclass(frozen=True)
class Network:
    """The world outside; a test brings a small one of its own."""

    resolve: Resolve = system_addresses
    is_allowed: Callable[[str], bool] = is_public_address
    port: int = 443
    trust: ssl.SSLContext = field(default_factory=ssl.create_default_context)


class RemotePictures:
    """`deadline_s` is for everything from looking the host up to the last byte. Proxies of the environment are not used."""

    def __init__(self, hosts: frozenset[str], deadline_s: float, most_bytes: int, network: Network) -> None:
        self._hosts = hosts
        self._deadline_s = deadline_s
        self._most_bytes = most_bytes
        self._network = network
        self._lookups = Lookups(network.resolve, network.is_allowed)
        self._places = asyncio.Semaphore(MOST_FETCHES)

    async def file(self, url: str) -> bytes:
        """Nothing is looked up, and no connection made, for a host that was not named."""
        wanted = remote_url_from_text(url)
        if wanted.host not in self._hosts:
            raise EdgeVLError(
                "EVL-IMAGE-REMOTE",
                "pictures are not fetched from that host",
                "it is not among those the server was started with",
                "send the picture itself as a data address, or name the host in --allow-remote-images",
            )
        try:
            return await asyncio.wait_for(self._fetched(wanted), self._deadline_s)
        except (OSError, asyncio.TimeoutError, h11.RemoteProtocolError) as error:
            # one text for all of them: what answers where behind this device is nobody's business
            raise no_picture(
                "its host did not hand it over in time, from a public address that proved its name"
            ) from error

    async def _fetched(self, url: RemoteUrl) -> bytes:
        async with self._places:
            reader, writer = await self._connected(url.host)
            try:
                return await picture_over(reader, writer, url, self._most_bytes)
            finally:
                writer.transport.abort()  # a polite end of TLS may take the other side half a minute

    async def _connected(self, host: str) -> Connection:
        """To the first address that takes the connection."""
        *others, last = await self._lookups.addresses(host)
        for address in others:
            with contextlib.suppress(OSError):  # such as a network without IPv6
                return await self._connected_to(address, host)
        return await self._connected_to(last, host)

    async def _connected_to(self, address: str, host: str) -> Connection:
        """The certificate is held against the name, which the far end is told, and not against the address."""
        network = self._network
        return await asyncio.open_connection(address, network.port, ssl=network.trust, server_hostname=host)


def checked_hosts(hosts: frozenset[str]) -> frozenset[str]:
    """Raises EdgeVLError for whatever is no host's full name: addresses, ports, stars, whole URLs."""
    if wrong := sorted(host for host in hosts if not is_host_name(host)):
        raise EdgeVLError(
            "EVL-IMAGE-HOSTS",
            f"{wrong[0]!r} is not a host that pictures can be fetched from",
            "a host is given by its full name in small letters: no address, no port, no star",
            "give --allow-remote-images names such as pictures.example",
        )
    return hosts
