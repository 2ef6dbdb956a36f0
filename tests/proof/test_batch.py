"""Several rows in one decoder, each at its own place in the cache, against transformers row by row."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from edge_runtime.backends.backend import Floats
from tests.proof.conftest import Note
from tests.proof.subject import Opened, Subject

BAR = 1e-4
CAPACITY = 64


@dataclass
class Rows:
    """Random ids fed to one decoder, and what every row holds by now."""

    opened: Opened
    held: list[list[int]]
    rng: np.random.Generator = field(default_factory=lambda: np.random.Generator(np.random.PCG64(11)))

    def feed(self, decoder_step: object, starts: list[int], steps: int) -> Floats:
        """Rewinds row r to starts[r] and appends `steps` new ids; logits of every new token (B, S, V)."""
        ids = self.rng.integers(0, 250, (len(starts), steps))
        for row, start in enumerate(starts):
            assert start <= len(self.held[row]), "a row cannot begin behind its end"
            self.held[row] = [*self.held[row][:start], *ids[row].tolist()]
        embeds = np.asarray(self.opened.bundle.embedding()[ids])
        every = np.tile(np.arange(steps, dtype=np.int64), (len(starts), 1))
        assert callable(decoder_step)
        found: Floats = decoder_step(embeds, np.asarray(starts, dtype=np.int64), every).logits
        return found


@pytest.mark.parametrize(
    "plan",
    [
        [((0,), 9), ((9,), 4), ((13,), 1)],
        [((0,), 9), ((4,), 6), ((10,), 1)],
        [((0, 0, 0), 9), ((9, 9, 9), 1), ((10, 10, 10), 5)],
        [((0, 0, 0), 9), ((9, 4, 0), 6), ((15, 10, 6), 1), ((16, 2, 7), 3)],
    ],
    ids=["one row", "one row rewound", "three rows in step", "three rows apart"],
)
def test_every_row_of_a_batch_has_the_logits_of_transformers(
    subject: Subject, plan: list[tuple[tuple[int, ...], int]], note: Note
) -> None:
    opened = subject.opened()
    batch = len(plan[0][0])
    decoder = opened.backend.decoder(batch, CAPACITY)
    rows = Rows(opened, [[] for _ in range(batch)])
    for starts, steps in plan:
        found = rows.feed(decoder.step, list(starts), steps)
        for row, held in enumerate(rows.held):
            difference = float(np.abs(found[row] - subject.oracle.logits(held)[-steps:]).max())
            note(f"largest fp32 difference of logits, batch {batch}", difference)
            assert difference <= BAR, (starts, steps, row)
