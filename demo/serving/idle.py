"""Health while thousands of connections say nothing."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median

from demo.serving.caller import called, connected
from demo.serving.record import Figures, ran
from demo.serving.stand import Server, served

BAR_MS = 100.0
SETTLED_S = 1.0


async def probed(server: Server, probes: int) -> list[float]:
    replies = [await called(server, "/health/live") for _ in range(probes)]
    assert all(reply.status == 200 for reply in replies), [reply.status for reply in replies]
    return [reply.total_s * 1000 for reply in replies]


async def measured(server: Server, connections: int, probes: int) -> Figures:
    alone = await probed(server, probes)
    async with AsyncExitStack() as stack:
        for _ in range(connections):
            await stack.enter_async_context(connected(server))
        at_once = await probed(server, 1)  # while the server still lets them in
        await asyncio.sleep(SETTLED_S)
        crowded = await probed(server, probes)
    return {
        "connections": connections,
        "alone_median_ms": round(median(alone), 2),
        "while_they_come_ms": round(at_once[0], 2),
        "crowded_median_ms": round(median(crowded), 2),
        "crowded_worst_ms": round(max(crowded), 2),
        "bar_ms": BAR_MS,
        "is_met": max(crowded) < BAR_MS,
    }


def measure(bundle: Path, numbers: Mapping[str, int]) -> Figures:
    with served(bundle) as server:
        return asyncio.run(measured(server, **numbers))


if __name__ == "__main__":
    sys.exit(ran("health beside idle connections", measure, {"connections": 2000, "probes": 50}))
