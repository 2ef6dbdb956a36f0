"""Clients that go away, before the first word and in the middle."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path

from demo.serving.caller import connected, question, request_bytes
from demo.serving.gauges import idle_after_s
from demo.serving.record import Figures, ran
from demo.serving.scene import picture
from demo.serving.stand import Server, served

BAR_S = 1.0
WAVE = 50  # fewer than may wait


async def gone(server: Server, number: int) -> str:
    """Every second one waits for the first word of its answer before it leaves."""
    body = question(server, "Describe it.", picture(number), max_tokens=200, stream=True, ignore_eos=True)
    async with connected(server) as (reader, writer):
        writer.write(request_bytes("/v1/chat/completions", body))
        await writer.drain()
        if number % 2:
            try:
                await asyncio.wait_for(reader.readuntil(b'"content":'), 3.0)
            except asyncio.TimeoutError:
                return "while it waited"
            return "in the middle of its answer"
        await asyncio.sleep(0.05 * (number % 7))
        return "before the first word"


async def measured(server: Server, clients: int) -> Figures:
    times: list[float] = []
    ways: list[str] = []
    for wave in range(0, clients, WAVE):
        ways += await asyncio.gather(*(gone(server, wave + each) for each in range(WAVE)))
        times.append(await idle_after_s(server, 30.0))
    return {
        "clients": len(ways),
        "left": {way: ways.count(way) for way in sorted(set(ways))},
        "idle_worst_s": round(max(times), 3),
        "bar_s": BAR_S,
        "is_met": max(times) < BAR_S,
    }


def measure(bundle: Path, numbers: Mapping[str, int]) -> Figures:
    with served(bundle) as server:
        return asyncio.run(measured(server, **numbers))


if __name__ == "__main__":
    sys.exit(ran("clients that go away", measure, {"clients": 200}))
