"""Which set a string, a layout or a pair of colours belongs to: by its hash, so the sets can never overlap."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Literal, TypeVar

import numpy as np

Split = Literal["train", "validation", "held-out"]
Thing = TypeVar("Thing")
TRIES = 10_000


def split_of(kind: str, key: str) -> Split:
    """8 in 10 keys of a kind are for training; one each for validation and for the held-out questions."""
    digit = hashlib.blake2b(f"{kind}/{key}".encode(), digest_size=8).digest()
    share = int.from_bytes(digit, "little") % 10
    return "train" if share < 8 else "validation" if share == 8 else "held-out"


def drawn(split: Split, kind: str, draw: Callable[[], Thing], key: Callable[[Thing], str] = str) -> Thing:
    """Draws until something of this split comes up."""
    for _ in range(TRIES):
        thing = draw()
        if split_of(kind, key(thing)) == split:
            return thing
    raise AssertionError(f"no {kind} of the {split} set was drawn in {TRIES} tries")


def rng_from_name(seed: int, *names: object) -> np.random.Generator:
    """A generator of its own for everything that has a name; stable across machines and versions."""
    text = "/".join([str(seed), *map(str, names)])
    digest = hashlib.blake2b(text.encode(), digest_size=16).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest, "little")))
