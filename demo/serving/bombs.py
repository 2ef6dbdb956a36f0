"""Pictures made to fill the memory: what the server grows by while it is shown them."""

from __future__ import annotations

import asyncio
import io
import struct
import sys
import zlib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from PIL import Image

from demo.serving.caller import Reply, called, connected, question, read_reply, request_bytes
from demo.serving.record import Figures, ran
from demo.serving.scene import picture
from demo.serving.stand import Server, served
from edge_runtime.memory import MemoryWatch

BAR_MIB = 200.0
TOGETHER = 8
ZIPPED = 31  # zlib's word for gzip


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def declared_png(width: int, height: int) -> bytes:
    """A header that promises more than any memory holds, and nearly nothing behind it."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(bytes(100_000), 9)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def plain(kind: str, size: tuple[int, int], mode: str = "RGB", **options: object) -> bytes:
    """One colour throughout: small as a file, whole as a picture."""
    file = io.BytesIO()
    Image.new(mode, size, 0).save(file, kind, **options)
    return file.getvalue()


def film(kind: str, frames: int) -> bytes:
    file = io.BytesIO()
    images = [Image.new("L", (600, 600), number % 256) for number in range(frames)]
    images[0].save(file, kind, save_all=True, append_images=images[1:])
    return file.getvalue()


def bombs() -> dict[str, bytes]:
    """By what each is; those of at most 25 million pixels are pictures like any other, and large."""
    return {
        "declared 60000 x 60000": declared_png(60_000, 60_000),
        "declared 16000 x 16000": declared_png(16_000, 16_000),
        "65535 x 1": declared_png(65_535, 1),
        "png of 400 million pixels": plain("PNG", (16_000, 25_000), "1"),
        "png of 24 million pixels": plain("PNG", (6000, 4000)),
        "png of 24 million pixels in 16 bits": plain("PNG", (6000, 4000), "I;16"),
        "jpeg of 24 million pixels": plain("JPEG", (6000, 4000)),
        "progressive jpeg of 24 million pixels in 4 inks": plain(
            "JPEG", (6000, 4000), "CMYK", progressive=True
        ),
        "webp of 24 million pixels": plain("WEBP", (6000, 4000)),
        "tiff of 100 million pixels": plain("TIFF", (10_000, 10_000), "1", compression="group4"),
        "gif of 300 frames": film("GIF", 300),
        "png of 200 frames": film("PNG", 200),
        "webp of 100 frames": film("WEBP", 100),
    }


async def shown(server: Server, name: str, bomb: bytes, many: int) -> str:
    body = question(server, f"What is it ({name})?", bomb, max_tokens=1)
    if many > 1:
        content = body["messages"][0]["content"]  # type: ignore[index]
        content[:0] = [content[0]] * (many - 1)
    reply = await called(server, "/v1/chat/completions", body)
    return str(reply.status)


async def packed_body(server: Server) -> str:
    """A body that is small on the way and a gigabyte unpacked."""
    packer, blank = zlib.compressobj(wbits=ZIPPED), bytes(1 << 20)
    data = b"".join([*(packer.compress(blank) for _ in range(1024)), packer.flush()])
    head = {"content-type": "application/json", "content-encoding": "gzip", "content-length": str(len(data))}
    reply = Reply()
    async with connected(server) as (reader, writer):
        writer.write(request_bytes("/v1/chat/completions", None, head).replace(b"GET", b"POST", 1) + data)
        await read_reply(reader, reply, 0.0)
    return str(reply.status)


async def measured(server: Server, rounds: int) -> Figures:
    warm = question(server, "What is it?", picture(1), max_tokens=4)
    await asyncio.gather(*(called(server, "/v1/chat/completions", warm) for _ in range(TOGETHER)))
    before = server.held_mib
    told: dict[str, Counter[str]] = {}
    with MemoryWatch(server.pid) as watch:
        for name, bomb in bombs().items():
            for many in (1, 3):
                shows = (shown(server, name, bomb, many) for _ in range(rounds * TOGETHER))
                told[f"{name}, {many} at once"] = Counter(await asyncio.gather(*shows))
        told["gzip of a gigabyte"] = Counter([await packed_body(server)])
    growth = watch.peak.held_mib - before
    faults = sum(count for each in told.values() for status, count in each.items() if status[0] not in "24")
    return {
        "held_before_mib": round(before, 1),
        "held_peak_mib": round(watch.peak.held_mib, 1),
        "growth_mib": round(growth, 1),
        "bar_mib": BAR_MIB,
        "statuses": {name: dict(each) for name, each in told.items()},
        "is_met": growth < BAR_MIB and not faults,
    }


def measure(bundle: Path, numbers: Mapping[str, int]) -> Figures:
    with served(bundle) as server:
        return asyncio.run(measured(server, **numbers))


if __name__ == "__main__":
    sys.exit(ran("pictures made to fill the memory", measure, {"rounds": 1}))
