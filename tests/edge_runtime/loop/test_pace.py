"""How much of a prompt is read in one go."""

from __future__ import annotations

import pytest

from edge_runtime.backends.provider import CPU
from edge_runtime.bundle import Bundle
from edge_runtime.loop.loop import Loop
from edge_runtime.loop.pace import Pace, PieceRules, rules_for
from edge_runtime.sequence import CHUNK_TOKENS
from tests.edge_runtime.loop.asking import question, run_out

RULES = PieceRules(64, 0.01)


def test_nothing_is_known_at_first() -> None:
    pace = Pace(RULES)
    assert pace.tokens() == 64


def test_a_slow_reader_keeps_to_the_least() -> None:
    pace = Pace(RULES)
    pace.took(64, 1.0)
    assert pace.tokens() == 64


def test_a_fast_reader_keeps_to_its_time() -> None:
    pace = Pace(RULES)
    pace.took(100, 0.001)
    assert pace.tokens() == 1000
    for _ in range(50):
        pace.took(100, 0.01)
    assert 100 <= pace.tokens() < 110


def test_the_end_of_a_prompt_says_nothing() -> None:
    pace = Pace(RULES)
    pace.took(63, 1e-6)
    pace.took(100, 0.0)
    assert pace.tokens() == 64


def test_engines_that_like_long_pieces_get_them() -> None:
    assert rules_for("tensorrt").least == CHUNK_TOKENS
    assert rules_for(CPU.engine).least < CHUNK_TOKENS


@pytest.mark.parametrize("piece", [64, 160, 250])
def test_a_short_question_does_not_wait_for_a_long_one(
    loop: Loop, bundle: Bundle, monkeypatch: pytest.MonkeyPatch, piece: int
) -> None:
    """Nor for a large part of it: for as many of its pieces as the short one has, and the long one is still being read when the short
    one has its first token. However fast this machine reads: the pieces are given."""
    monkeypatch.setattr(Pace, "tokens", lambda _: piece)
    long, short = question(bundle, "0123 " * 60), question(bundle, "hi")
    loop.submit(long)
    assert loop.work()
    loop.submit(short)
    works = 0
    while not loop.said:
        assert loop.work()
        works += 1
    pieces = [-(-len(each.prompt.ids) // piece) for each in (short, long)]
    assert works <= 2 * pieces[0] and works + 1 < sum(pieces)
    assert (loop.running, loop.decoding) == (2, 1)
    run_out(loop)
