"""A damaged bundle opened on trust, in a process that may die of it."""

from __future__ import annotations

import json
import random
import shutil
import signal
from collections import Counter
from pathlib import Path

from PIL import Image

from edge_runtime.errors import EdgeVLError
from edge_runtime.loading import load
from edge_runtime.request import Request
from tests.faults.damage import SPAN, Blank, Cut, Drop, Flip, Insert, Mishap, Overwrite, befall, twin_of

SECONDS_EACH = 20
ONE_TOKEN = Request(max_tokens=1)


def outcome(folder: Path, is_trusted: bool) -> str:
    """The code of the refusal, or "answered"."""
    try:
        with load(folder, is_trusted=is_trusted) as assistant:
            assistant.ask("hi", image=Image.new("RGB", (40, 30), (200, 40, 40)), request=ONE_TOKEN)
    except EdgeVLError as error:
        return error.code
    return "answered"


def any_mishap(rng: random.Random) -> Mishap:
    place, noise = rng.randrange(SPAN), rng.randbytes(rng.randint(1, 8))
    kinds: list[Mishap] = [
        Flip(place, rng.randrange(8)),
        Flip(place, rng.randrange(8)),
        Flip(place, rng.randrange(8)),
        Overwrite(place, noise),
        Cut(place),
        Insert(place, noise),
        Drop(place, len(noise)),
        Blank(place, 64),
    ]
    return rng.choice(kinds)


def survive(bundle: str, names: list[str], count: int, seed: int, place: str, is_trusted: bool) -> int:
    """Opens a bundle `count` times, each time with another mishap; says how it went, and which was the last."""
    rng, found = random.Random(seed), Counter[str]()
    for _ in range(count):
        name, mishap = rng.choice(names), any_mishap(rng)
        print(f"{name} {mishap}", flush=True)  # the last of these lines is what killed the process
        folder = twin_of(Path(bundle), Path(place) / "twin")
        befall(folder / name, mishap)
        signal.alarm(SECONDS_EACH)
        found[outcome(folder, is_trusted)] += 1
        signal.alarm(0)
        shutil.rmtree(folder)
    print(json.dumps(found))
    return 0
