"""Clients that ask again as soon as they are answered: more and more of them, in words alone and about pictures."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from demo.serving.caller import called, first_word_s, question
from demo.serving.record import Figures, ran, value_at
from demo.serving.scene import picture
from demo.serving.stand import Server, served

CLIENTS = (1, 2, 4, 8)
TOKENS = 32


async def asked(server: Server, clients: int, seconds: int, has_picture: bool) -> Figures:
    """A picture is a new one each time."""
    firsts, until, number = list[float](), time.perf_counter() + seconds, 1000 * clients

    async def client() -> None:
        nonlocal number
        while time.perf_counter() < until:
            number += 1
            shown = picture(number) if has_picture else None
            body = question(server, f"What is number {number}?", shown, max_tokens=TOKENS, ignore_eos=True)
            firsts.append(await first_word_s(server, body))

    begun = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(clients)))
    spent = time.perf_counter() - begun
    return {
        "clients": clients,
        "asked": "about pictures" if has_picture else "in words",
        "answered": len(firsts),
        "first_word_median_ms": round(1000 * value_at(firsts, 0.5), 1),
        "first_word_p95_ms": round(1000 * value_at(firsts, 0.95), 1),
        "tokens_per_s": round(len(firsts) * TOKENS / spent, 1),
    }


async def measured(server: Server, seconds: int) -> Figures:
    """A stream without a first word raises: every one that is counted was answered."""
    for number in range(1000, 1000 + 64):
        picture(number)
    await called(server, "/v1/chat/completions", question(server, "hello", max_tokens=TOKENS))
    runs = [
        await asked(server, clients, seconds, has_picture)
        for has_picture in (False, True)
        for clients in CLIENTS
    ]
    return {"runs": runs, "is_met": all(run["answered"] for run in runs)}


def measure(bundle: Path, numbers: Mapping[str, int]) -> Figures:
    with served(bundle) as server:
        return asyncio.run(measured(server, **numbers))


if __name__ == "__main__":
    sys.exit(ran("clients that ask again and again", measure, {"seconds": 8}))
