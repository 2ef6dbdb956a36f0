"""A long while at seven tenths of what can be answered: what grows."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from demo.serving.caller import Reply, called, question
from demo.serving.gauges import idle_after_s
from demo.serving.overload import capacity
from demo.serving.record import Figures, ran, value_at
from demo.serving.scene import picture
from demo.serving.stand import Server, served

LOAD, WARM, EVERY_S = 0.7, 0.25, 5.0
GROWTH_BAR_MIB, DRIFT_BAR = 8.0, 0.1


@dataclass(frozen=True)
class Look:
    at_s: float
    held_mib: float
    descriptors: int


async def asked(server: Server, number: int) -> Reply:
    """Pictures old and new, words alone, streams and whole answers."""
    shown = None if number % 3 == 0 else picture(number if number % 5 == 0 else number % 16)
    body = question(
        server, f"What is it ({number})?", shown, max_tokens=8 + number % 32, stream=bool(number % 2)
    )
    return await called(server, "/v1/chat/completions", body)


async def soaked(server: Server, minutes: int) -> Figures:
    per_s = LOAD * await capacity(server, 10)
    rng, tasks, looks, replies = (
        random.Random(13),
        set[asyncio.Task[None]](),
        list[Look](),
        list[tuple[float, Reply]](),
    )
    begun = due = looked = time.perf_counter()

    async def one(number: int) -> None:
        reply = await asked(server, number)
        replies.append((time.perf_counter() - begun, reply))
        reply.body = b""  # twenty minutes of answers are not kept

    count = 0
    while (now := time.perf_counter()) < begun + 60 * minutes:
        if now >= looked:
            looks.append(Look(now - begun, server.held_mib, server.descriptors))
            looked += EVERY_S
        if now < due:
            await asyncio.sleep(min(due, looked) - now)
            continue
        task = asyncio.create_task(one(count := count + 1))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        due += rng.expovariate(per_s)
    await asyncio.gather(*tasks)
    await idle_after_s(server, 30.0)
    looks.append(Look(time.perf_counter() - begun, server.held_mib, server.descriptors))
    return told(looks, replies, per_s, minutes)


def told(looks: list[Look], replies: list[tuple[float, Reply]], per_s: float, minutes: int) -> Figures:
    settled = [look for look in looks if look.at_s > WARM * 60 * minutes]
    slope = float(
        np.polyfit([look.at_s / 3600 for look in settled], [look.held_mib for look in settled], 1)[0]
    )
    middle = 60 * minutes * (1 + WARM) / 2
    early, late = (
        [reply.total_s for at, reply in replies if is_late == (at > middle) and at > WARM * 60 * minutes]
        for is_late in (False, True)
    )
    statuses = Counter(str(reply.status) for _, reply in replies)
    growth = slope * minutes / 60
    drift = value_at(late, 0.99) / value_at(early, 0.99) - 1
    return {
        "minutes": minutes,
        "asked_per_s": round(per_s, 2),
        "statuses": dict(statuses),
        "held_mib": {"settled": settled[0].held_mib, "end": settled[-1].held_mib},
        "slope_mib_per_h": round(slope, 2),
        "growth_bar_mib": GROWTH_BAR_MIB,
        "descriptors": {
            "settled_least": min(look.descriptors for look in settled),
            "end": settled[-1].descriptors,
        },
        "p99_s": {
            "first_half": round(value_at(early, 0.99), 3),
            "second_half": round(value_at(late, 0.99), 3),
        },
        "p99_drift": round(drift, 3),
        "is_met": set(statuses) == {"200"}
        and drift < DRIFT_BAR
        and growth < GROWTH_BAR_MIB
        and settled[-1].descriptors <= looks[0].descriptors,
    }


def measure(bundle: Path, numbers: Mapping[str, int]) -> Figures:
    with served(bundle) as server:
        return asyncio.run(soaked(server, **numbers))


if __name__ == "__main__":
    sys.exit(ran("a long while of questions", measure, {"minutes": 20}))
