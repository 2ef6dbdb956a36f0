"""Two runs of numbers, compared piece by piece."""

from __future__ import annotations

import numpy as np
import pytest

from export import difference as module
from export.difference import Difference


def test_figures_are_those_of_the_whole_however_it_is_fed(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    wanted = rng.standard_normal((7, 31)).astype(np.float32)
    found = wanted + rng.standard_normal((7, 31)).astype(np.float32) / 100
    monkeypatch.setattr(module, "CHUNK", 10)
    difference = Difference()
    difference.add(found[:2], wanted[:2])
    difference.add(found[2:], wanted[2:])
    a, b = found.astype(np.float64).ravel(), wanted.astype(np.float64).ravel()
    assert difference.largest == np.abs(a - b).max()
    assert difference.mean == pytest.approx(np.abs(a - b).mean())
    assert difference.relative == np.abs(a - b).max() / np.abs(b).max()
    assert difference.cosine == pytest.approx(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def test_a_number_that_is_none_is_never_close() -> None:
    difference = Difference()
    difference.add(np.array([1.0, np.nan]), np.array([1.0, 2.0]))
    difference.add(np.array([1.0]), np.array([1.0]))
    assert not difference.relative <= 1
    assert not difference.cosine >= 0


def test_all_zeros_are_like_zeros_and_unlike_anything_else() -> None:
    same, other = Difference(), Difference()
    same.add(np.zeros(3), np.zeros(3))
    other.add(np.ones(3), np.zeros(3))
    assert same.cosine == 1.0
    assert other.cosine == 0.0
