"""Every picture of a request, from wherever its address points, as whole files that are fit to be decoded."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from edge_runtime.errors import EdgeVLError
from edge_runtime.picture_header import PictureHeader
from edge_runtime.picture_limits import PictureLimits, checked_header
from edge_runtime.server.images.data_url import file_from_data_url
from edge_runtime.server.images.form import DATA_FORM, unusable
from edge_runtime.server.images.media import MediaFolder
from edge_runtime.server.images.remote import Network, RemotePictures, checked_hosts

Result = TypeVar("Result")


SMALL = 1 << 15  # characters of a data URL


@dataclass(frozen=True)
class ImageRules:
    """What pictures a request may bring. Without a folder no file is read, without hosts no connection is made."""

    most_images: int = 8
    most_bytes: int = 16 * 2**20  # of one file
    most_pixels: int = 25_000_000
    most_side: int = 16_384
    most_bytes_in_all: int = 32 * 2**20
    most_pixels_in_all: int = 100_000_000  # eight photographs of a telephone
    media_dir: Path | None = None
    remote_hosts: frozenset[str] = frozenset()
    fetch_deadline_s: float = 5.0
    fetch_most_bytes: int = 10_000_000

    def __post_init__(self) -> None:
        checked_hosts(self.remote_hosts)
        numbers = (
            *(self.most_images, self.most_bytes, self.most_pixels, self.most_side, self.most_bytes_in_all),
            *(self.most_pixels_in_all, self.fetch_deadline_s, self.fetch_most_bytes),
        )
        if min(numbers) <= 0:
            raise EdgeVLError(
                "EVL-IMAGE-RULES",
                "the limits on pictures cannot be used",
                "one of them is zero or less",
                "give positive numbers",
            )

    @property
    def header_limits(self) -> PictureLimits:
        return PictureLimits(self.most_bytes, self.most_pixels, self.most_side)


class ImageSource:
    """Faults are EdgeVLErrors with codes EVL-IMAGE-..., and say nothing of paths, addresses or hosts."""

    def __init__(self, rules: ImageRules, network: Network | None = None) -> None:
        self._rules = rules
        self._media = None if rules.media_dir is None else MediaFolder(rules.media_dir, rules.most_bytes)
        self._remote = None
        if rules.remote_hosts:
            most_bytes = min(rules.most_bytes, rules.fetch_most_bytes)
            self._remote = RemotePictures(
                rules.remote_hosts, rules.fetch_deadline_s, most_bytes, network or Network()
            )

    async def file(self, url: str) -> bytes:
        """One picture's whole file, its header checked."""
        return (await self._looked_at(url))[1]

    async def files(self, urls: Sequence[str]) -> tuple[bytes, ...]:
        """In the order of the addresses. Their number is checked before anything is read, an address that comes twice is
        read once, and the rest is broken off as soon as one is refused or they are too much together."""
        if len(urls) > self._rules.most_images:
            raise EdgeVLError(
                "EVL-IMAGE-COUNT",
                "the request has too many pictures",
                f"{len(urls)} pictures, the limit is {self._rules.most_images}",
                "send fewer pictures, or ask about them one after another",
            )
        taken = _Taken(self._rules)
        places = Counter(urls)
        found = await _all_of([self._taken(url, urls, places[url], taken) for url in places])
        files = dict(zip(places, found, strict=True))
        return tuple(files[url] for url in urls)

    async def _taken(self, url: str, urls: Sequence[str], times: int, taken: _Taken) -> bytes:
        try:
            header, data = await self._looked_at(url)
        except EdgeVLError as error:
            if len(urls) == 1:
                raise
            what = f"picture {urls.index(url) + 1}: {error.what}"
            raise type(error)(error.code, what, error.why, error.fix) from error
        taken.add(header, len(data), times)
        return data

    async def _looked_at(self, url: str) -> tuple[PictureHeader, bytes]:
        """In a thread: reading, decoding base64 and walking a header each take up to a second of a hostile file. What is
        small takes less than the way to a thread and back."""
        if _scheme_of(url) == "https":
            data = await self._fetched(url)
            return await asyncio.to_thread(self._with_header, data)
        if _scheme_of(url) == "data" and len(url) <= SMALL:
            return self._read(url)
        return await asyncio.to_thread(self._read, url)

    def _read(self, url: str) -> tuple[PictureHeader, bytes]:
        scheme = _scheme_of(url)
        if scheme == "data":
            return self._with_header(file_from_data_url(url, self._rules.most_bytes))
        if scheme == "file":
            return self._with_header(self._from_folder(url))
        if scheme == "http":
            raise unusable("pictures are not fetched over http")
        raise unusable(f"it begins with neither data:, file: nor https:, as in {DATA_FORM}")

    def _with_header(self, data: bytes) -> tuple[PictureHeader, bytes]:
        return checked_header(data, self._rules.header_limits), data

    def _from_folder(self, url: str) -> bytes:
        if self._media is None:
            raise EdgeVLError(
                "EVL-IMAGE-MEDIA",
                "pictures are not read from files here",
                "the server was started without a folder of pictures",
                f"send the picture itself as {DATA_FORM}, or start the server with --media-dir",
            )
        return self._media.file(url)

    async def _fetched(self, url: str) -> bytes:
        if self._remote is None:
            raise EdgeVLError(
                "EVL-IMAGE-REMOTE",
                "pictures are not fetched from other hosts here",
                "the server was started without hosts to fetch them from",
                f"send the picture itself as {DATA_FORM}, or start the server with --allow-remote-images",
            )
        return await self._remote.file(url)


class _Taken:
    """What the pictures of one request have come to so far."""

    def __init__(self, rules: ImageRules) -> None:
        self._rules = rules
        self._bytes = 0
        self._pixels = 0

    def add(self, header: PictureHeader, length: int, times: int) -> None:
        self._bytes += length * times
        self._pixels += header.width * header.height * times
        for name, amount, most in (
            ("pixels", self._pixels, self._rules.most_pixels_in_all),
            ("bytes", self._bytes, self._rules.most_bytes_in_all),
        ):
            if amount > most:
                raise EdgeVLError(
                    "EVL-IMAGE-BOMB",
                    "the request's pictures are too large together",
                    f"more than {most} {name}, the limit for all of them",
                    "make them smaller or send fewer",
                )


def _scheme_of(url: str) -> str:
    return url[:6].partition(":")[0].lower() if ":" in url[:6] else ""


async def _all_of(jobs: Sequence[Coroutine[Any, Any, Result]]) -> list[Result]:
    """What they return; the first that fails ends the others."""
    tasks = [asyncio.ensure_future(job) for job in jobs]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
