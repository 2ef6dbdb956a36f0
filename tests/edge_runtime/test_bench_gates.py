"""Bars that a bench is held to."""

from __future__ import annotations

import pytest

from edge_runtime.bench.gates import Gates, judged


def test_without_bars_nothing_is_judged() -> None:
    assert judged(Gates(), 1.0, 1.0, 1.0) == ()


@pytest.mark.parametrize(("bar", "is_passed"), [(39.9, True), (40.0, True), (40.1, False)])
def test_speed_is_held_to_the_least(bar: float, is_passed: bool) -> None:
    (gate,) = judged(Gates(min_tokens_per_s=bar), 40.0, 9.0, 9.0)
    assert (gate.name, gate.measured, gate.is_passed) == ("min_tokens_per_s", 40.0, is_passed)
    assert gate.words == f"tokens per s: 40, at least {bar:g} wanted  {'ok' if is_passed else 'FAILED'}"


@pytest.mark.parametrize(("bar", "is_passed"), [(39.9, False), (40.0, True), (40.1, True)])
def test_waiting_and_memory_are_held_to_the_most(bar: float, is_passed: bool) -> None:
    waiting, memory = judged(Gates(max_first_token_ms=bar, max_held_mib=bar), 1.0, 40.0, 40.0)
    assert (waiting.is_passed, memory.is_passed) == (is_passed, is_passed)
    assert memory.words.startswith("held mib: 40, at most")
