"""What is rounded once, and for whom."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from calibration.blocks import Floats, Weight
from calibration.decision import Int4
from calibration.desk import Desk
from calibration.gptq import gptq_from_weight
from calibration.plan import GptqRounding

ROWS = 64


class FakeMoments:
    """Of layers whose inputs differ."""

    def of(self, layer: str) -> Floats:
        x = np.random.default_rng(len(layer)).standard_normal((200, ROWS // 4))
        mixed = x @ np.random.default_rng(len(layer) + 1).standard_normal((ROWS // 4, ROWS))
        return (mixed.T @ mixed).astype(np.float32)


@pytest.fixture
def rounding(tmp_path: Path) -> GptqRounding:
    return GptqRounding(FakeMoments(), Desk(tmp_path / "out", "key"))  # type: ignore[arg-type]


def weight_of(columns: int) -> Weight:
    found: Weight = (np.random.default_rng(3).standard_normal((ROWS, columns)) / 16).astype(np.float32)
    return found


def test_layers_of_equal_weights_are_rounded_each_for_its_own_inputs(rounding: GptqRounding) -> None:
    weight = weight_of(24)
    found = {name: rounding(name, weight, Int4(32)).integers for name in ("one", "other")}
    for name, integers in found.items():
        wanted = gptq_from_weight(name, weight, 32, FakeMoments().of(name)).integers
        assert np.array_equal(integers, wanted), name
    assert not np.array_equal(found["one"], found["other"])


def test_equal_bytes_of_another_shape_are_rounded_as_what_they_are(rounding: GptqRounding) -> None:
    zeros = np.zeros((ROWS, 8), np.float32)
    assert rounding("one", zeros, Int4(32)).scales.shape == (2, 8)
    half = rounding("one", zeros.astype(np.float16).repeat(2, axis=1), Int4(32))
    assert half.integers.shape == (ROWS, 16) and half.scales.dtype == np.float16


def test_what_one_dialect_had_rounded_the_next_one_takes(rounding: GptqRounding) -> None:
    first = rounding("one", weight_of(24), Int4(32))
    rounding._moments = None  # type: ignore[assignment]
    again = rounding("one", weight_of(24), Int4(32))
    assert np.array_equal(first.integers, again.integers) and np.array_equal(first.scales, again.scales)
