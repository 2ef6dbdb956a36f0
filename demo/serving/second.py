"""A first and a second question about one picture: how long until their first words."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path
from statistics import median

from demo.serving.caller import first_word_s, question
from demo.serving.record import Figures, ran
from demo.serving.scene import picture
from demo.serving.stand import Server, served

BAR = 5.0
FIRST, SECOND = "What is in this picture?", "How many are there, and of what colour?"


async def first_ms(server: Server, text: str, number: int, is_random: bool) -> float:
    """Tokens of random weights often are no text, and are told with their logprobs only."""
    asked = {"max_tokens": 4, "ignore_eos": True, "logprobs": is_random}
    return 1000 * await first_word_s(server, question(server, text, picture(number), **asked))


async def measured(server: Server, rounds: int, random: int) -> Figures:
    is_random = bool(random)
    await first_ms(server, FIRST, 999, is_random)
    pairs = [
        [await first_ms(server, text, number, is_random) for text in (FIRST, SECOND)]
        for number in range(rounds)
    ]
    sooner = median(first / second for first, second in pairs)
    return {
        "first_ms": [round(first, 1) for first, _ in pairs],
        "second_ms": [round(second, 1) for _, second in pairs],
        "times_sooner": round(sooner, 2),
        "bar": BAR,
        "is_met": sooner >= BAR,
    }


def measure(bundle: Path, numbers: Mapping[str, int]) -> Figures:
    with served(bundle) as server:
        return asyncio.run(measured(server, **numbers))


if __name__ == "__main__":
    sys.exit(ran("a second question about a picture", measure, {"rounds": 15, "random": 0}))
