"""The worker is killed again and again while clients ask."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from statistics import median

from demo.serving.caller import Reply, called, question
from demo.serving.gauges import ready_after_s
from demo.serving.record import Figures, ran
from demo.serving.scene import picture
from demo.serving.stand import Server, served

BAR_S = 5.0
CLIENTS = 3
IMPATIENT_S = 0.2  # before asking again, whatever was told
KINDS = (signal.SIGKILL, signal.SIGSEGV)


def fate(reply: Reply) -> str:
    """How a client was answered; `lost` is the one thing that must not be."""
    if reply.status == 200 and reply.headers.get("content-type", "").startswith("text/event-stream"):
        is_told = b'data: {"error"' in reply.body
        return "lost" if not reply.is_whole else "told in the stream" if is_told else "answered"
    if reply.status == 200:
        return "answered" if reply.json["choices"] else "lost"
    return "told" if reply.status == 503 and "error" in reply.json else f"lost ({reply.status})"


async def asking(server: Server, fates: Counter[str], is_over: asyncio.Event, number: int) -> None:
    while not is_over.is_set():
        number += CLIENTS
        body = question(
            server,
            "What is it?",
            picture(number % 40),
            max_tokens=48,
            stream=bool(number % 2),
            ignore_eos=True,
        )
        reply = await called(server, "/v1/chat/completions", body)
        fates[fate(reply)] += 1
        if reply.status == 503:
            await asyncio.sleep(IMPATIENT_S)


async def measured(server: Server, kills: int) -> Figures:
    rng, fates, times, is_over = random.Random(7), Counter[str](), list[float](), asyncio.Event()
    clients = [asyncio.create_task(asking(server, fates, is_over, number)) for number in range(CLIENTS)]
    for number in range(kills):
        await asyncio.sleep(rng.uniform(0.1, 1.5))
        pid = server.worker_pid
        assert pid is not None, "it was ready"
        os.kill(pid, KINDS[number % len(KINDS)])
        while server.worker_pid == pid:  # until the front end has seen it
            await asyncio.sleep(0.002)
        times.append(await ready_after_s(server, 60.0))
    is_over.set()
    await asyncio.gather(*clients)
    os.kill(server.pid, 0)  # the front end is the one it was
    lost = sum(count for kind, count in fates.items() if kind.startswith("lost"))
    return {
        "kills": kills,
        "ready_median_s": round(median(times), 3),
        "ready_worst_s": round(max(times), 3),
        "bar_s": BAR_S,
        "requests": dict(fates),
        "is_met": max(times) < BAR_S and not lost and fates["answered"] > 0,
    }


def measure(bundle: Path, numbers: Mapping[str, int]) -> Figures:
    with served(bundle) as server:
        return asyncio.run(measured(server, **numbers))


if __name__ == "__main__":
    sys.exit(ran("the worker killed while clients ask", measure, {"kills": 50}))
