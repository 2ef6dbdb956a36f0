"""What the server says of itself."""

from __future__ import annotations

import asyncio
import time

from demo.serving.caller import called
from demo.serving.stand import Server

RUNNING, WAITING = "edgevl_requests_running", "edgevl_requests_waiting"


async def gauge(server: Server, name: str) -> float:
    lines = (await called(server, "/metrics")).body.decode().splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.split("{")[0].split(" ")[0] == name)


async def busy(server: Server) -> float:
    """Questions in the engine, running and waiting."""
    return await gauge(server, RUNNING) + await gauge(server, WAITING)


async def idle_after_s(server: Server, limit_s: float) -> float:
    """How long until nothing runs and nothing waits; `limit_s` if it never is so."""
    begun = time.perf_counter()
    while (spent := time.perf_counter() - begun) < limit_s:
        if not await busy(server):
            return spent
        await asyncio.sleep(0.02)
    return limit_s


async def ready_after_s(server: Server, limit_s: float) -> float:
    begun = time.perf_counter()
    while (spent := time.perf_counter() - begun) < limit_s:
        if (await called(server, "/health/ready")).status == 200:
            return spent
        await asyncio.sleep(0.02)
    return limit_s
