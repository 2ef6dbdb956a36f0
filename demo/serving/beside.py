"""Short questions while somebody asks long ones, or shows large pictures, as fast as they are answered."""

from __future__ import annotations

import asyncio
import io
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image

from demo.serving.caller import Reply, called, first_word_s, question
from demo.serving.record import Figures, ran, value_at
from demo.serving.stand import Server, served

BAR = 2.0  # times what it takes alone
PAUSE_S = 0.05
LARGE = (4000, 3000)
LARGE_PICTURES = 6
LONG_WORDS = 500


def large_picture(number: int) -> bytes:
    """As a phone takes it; one that was seen already would not be decoded again."""
    rng = np.random.Generator(np.random.PCG64(number))
    file = io.BytesIO()
    blocks = Image.fromarray(rng.integers(0, 255, (60, 80, 3), dtype=np.uint8))
    blocks.resize(LARGE, Image.Resampling.BICUBIC).save(file, "JPEG", quality=85)
    return file.getvalue()


def long_text(number: int) -> str:
    """Unlike every other from its first word on."""
    rng = np.random.Generator(np.random.PCG64(number))
    return " ".join(f"{each:03d}" for each in rng.integers(0, 999, LONG_WORDS))


async def short_ms(server: Server, seconds: int) -> list[float]:
    found, until = list[float](), time.perf_counter() + seconds
    while time.perf_counter() < until:
        asked = question(server, f"hello {len(found)}", max_tokens=4, ignore_eos=True)
        found.append(1000 * await first_word_s(server, asked))
        await asyncio.sleep(PAUSE_S)
    return found


@asynccontextmanager
async def company(server: Server, pictures: list[bytes]) -> AsyncIterator[list[Reply]]:
    """One client that asks again and again; what it got."""
    got, is_over = list[Reply](), asyncio.Event()

    async def ask() -> None:
        while not is_over.is_set():
            number = len(got)
            shown = pictures[number % len(pictures)] if pictures else None
            text = "What is it?" if pictures else long_text(number)
            body = question(server, text, shown, max_tokens=4, ignore_eos=True)
            got.append(await called(server, "/v1/chat/completions", body))

    asking = asyncio.create_task(ask())
    try:
        yield got
    finally:
        is_over.set()
        await asking


async def measured(server: Server, seconds: int, rounds: int) -> Figures:
    """In turns, so that a busy moment of the machine touches all."""
    pictures = [large_picture(number) for number in range(LARGE_PICTURES)]
    await short_ms(server, 1)
    alone, ways = (
        list[list[float]](),
        {"long questions": list[list[float]](), "large pictures": list[list[float]]()},
    )
    statuses: dict[str, int] = {}
    for _ in range(rounds):
        alone.append(await short_ms(server, seconds))
        for name, found in ways.items():
            async with company(server, pictures if name == "large pictures" else []) as got:
                found.append(await short_ms(server, seconds))
            for reply in got:
                key = f"{name}: {reply.status}"
                statuses[key] = statuses.get(key, 0) + 1
    at_95 = [value_at(each, 0.95) for each in alone]
    times = {
        name: median(value_at(each, 0.95) / usual for each, usual in zip(found, at_95, strict=True))
        for name, found in ways.items()
    }
    return {
        "alone_p95_ms": round(median(at_95), 1),
        "beside_p95_ms": {
            name: round(median(value_at(each, 0.95) for each in found), 1) for name, found in ways.items()
        },
        "times_alone": {name: round(each, 2) for name, each in times.items()},
        "company": statuses,
        "bar": BAR,
        "is_met": max(times.values()) < BAR and all(key.endswith(" 200") for key in statuses),
    }


def measure(bundle: Path, numbers: Mapping[str, int]) -> Figures:
    with served(bundle) as server:
        return asyncio.run(measured(server, **numbers))


if __name__ == "__main__":
    sys.exit(ran("short questions beside long ones and large pictures", measure, {"seconds": 5, "rounds": 3}))
