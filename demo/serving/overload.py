"""More is asked than can be answered: how much is answered all the same, and how the others are told."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median

from demo.serving.caller import Reply, called, question
from demo.serving.record import Figures, ran, value_at
from demo.serving.scene import picture
from demo.serving.stand import Server, served

RATES, MUCH = (0.5, 1.0, 2.0), 10  # times what is answered when nobody waits long
CLIENTS = 8  # twice the slots
GOODPUT_BAR, TOLD_BAR_MS = 0.9, 50.0
TOKENS = 32


async def asked(server: Server, number: int) -> Reply:
    body = question(server, "What is it?", picture(number % 64), max_tokens=TOKENS, ignore_eos=True)
    return await called(server, "/v1/chat/completions", body)


async def capacity(server: Server, seconds: int) -> float:
    """Answers per second to clients that ask again as soon as they are answered."""
    until, answered = time.perf_counter() + seconds, 0

    async def client(number: int) -> None:
        nonlocal answered
        while time.perf_counter() < until:
            number += CLIENTS
            reply = await asked(server, number)
            answered += reply.status == 200

    begun = time.perf_counter()
    await asyncio.gather(*map(client, range(CLIENTS)))
    return answered / (time.perf_counter() - begun)


async def crowd(server: Server, per_s: float, seconds: int) -> Figures:
    """Questions come by chance, whatever becomes of those before."""
    rng, tasks = random.Random(11), list[asyncio.Task[Reply]]()
    begun = due = time.perf_counter()
    spent_before = server.spent_s
    while due < begun + seconds:
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        tasks.append(asyncio.create_task(asked(server, len(tasks))))
        due += rng.expovariate(per_s)
    asking_s = time.perf_counter() - begun
    replies = await asyncio.gather(*tasks)
    spent = time.perf_counter() - begun
    cores = {name: round((at - spent_before[name]) / spent, 2) for name, at in server.spent_s.items()}
    refused = [reply for reply in replies if reply.status == 429]
    return {
        "asked_per_s": round(len(replies) / asking_s, 2),
        "answered_per_s": round(sum(reply.status == 200 for reply in replies) / spent, 2),
        "cores": cores,
        "refused": len(refused),
        "refused_p99_ms": round(1000 * value_at([r.total_s for r in refused], 0.99), 1) if refused else None,
        "refused_median_ms": round(1000 * value_at([r.total_s for r in refused], 0.5), 1)
        if refused
        else None,
        "told_when_to_come_back": all("retry-after" in reply.headers for reply in refused),
        "faults": sum(reply.status not in (200, 429) for reply in replies),
        "answer_p95_s": round(value_at([r.total_s for r in replies if r.status == 200], 0.95), 2),
    }


async def measured(server: Server, seconds: int, rounds: int) -> Figures:
    """What can be answered and what is answered at `MUCH` times as much, in turns: the machine is now more, now less busy."""
    await capacity(server, 2)
    usual = await capacity(server, seconds)
    rates = {f"{rate:g}": await crowd(server, rate * usual, seconds) for rate in RATES}
    can, most = list[float](), list[Figures]()
    for _ in range(rounds):
        can.append(await capacity(server, seconds))
        most.append(await crowd(server, MUCH * can[-1], seconds))
    shares = [float(str(each["answered_per_s"])) / per_s for each, per_s in zip(most, can, strict=True)]
    goodput, told_ms = median(shares), median(float(str(each["refused_p99_ms"] or 0)) for each in most)
    faults = sum(int(str(each["faults"])) for each in [*rates.values(), *most])
    return {
        "capacity_per_s": [round(per_s, 2) for per_s in can],
        "rates": rates,
        f"at_{MUCH}": most,
        "goodput_shares": [round(each, 3) for each in shares],
        "goodput_at_10": round(goodput, 3),
        "refused_p99_ms": told_ms,
        "refused_median_ms": median(float(str(each["refused_median_ms"] or 0)) for each in most),
        "bars": {"goodput_at_10": GOODPUT_BAR, "faults": 0, "refused_ms": TOLD_BAR_MS},
        "is_met": goodput >= GOODPUT_BAR and not faults and told_ms < TOLD_BAR_MS,
    }


def measure(bundle: Path, numbers: Mapping[str, int]) -> Figures:
    with served(bundle) as server:
        return asyncio.run(measured(server, **numbers))


if __name__ == "__main__":
    sys.exit(ran("more asked than can be answered", measure, {"seconds": 10, "rounds": 7}))
