"""Scaling before 4-bit rounding, against a slow and obvious twin."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from calibration.awq import EXPONENTS, AwqSearch, Reader, awq_factors, lost_with, thinned
from calibration.blocks import (
    INT4_SHARES,
    Floats,
    covered_from_weight,
    quantised_from_weight,
)
from calibration.decision import Decision, Int4, Int8
from calibration.desk import Desk
from calibration.layer import layers_from_graph
from calibration.migration import Scaling
from calibration.moments import Moments
from calibration.pairs import Pair, pairs_from_graph
from calibration.plan import AwqRounding
from edge_runtime.bundle import Bundle
from edge_runtime.progress import silent
from tests.calibration.restored import weight_from_quantised
from tests.calibration.twin import dequantised_twin, int4_twin
from tests.proof.subject import bundle_below, session_folder


def inputs_with_outliers(rows: int, count: int = 300) -> Floats:
    """A few channels carry most of it."""
    rng = np.random.default_rng(2)
    found = rng.standard_normal((count, rows)).astype(np.float32)
    found[:, rng.permutation(rows)[: rows // 16]] *= 30
    return found


def reader(
    rows: int, columns: int, how: Int4 | Int8, dtype: type[np.floating] = np.float32, seed: int = 1
) -> Reader:
    weight = np.random.default_rng(seed).standard_normal((rows, columns)) / 16
    return Reader(f"layer{seed}", weight.astype(dtype), how)


def output_error_twin(
    each: Reader, factors: Floats, x: Floats, block: int, shares: Sequence[float] = (1,)
) -> float:
    """Of x @ w, one sample and one weight at a time as far as it matters."""
    scaled = (each.weight.astype(np.float32) * factors[:, None]).astype(each.weight.dtype)
    integers, scales = int4_twin(scaled, block, shares)
    rounded = dequantised_twin(integers, scales).astype(np.float64) / factors[:, None].astype(np.float64)
    lost = x.astype(np.float64) @ (rounded - each.weight.astype(np.float64))
    return float((lost**2).sum())


def factors_twin(readers: list[Reader], x: Floats, block: int) -> Floats:
    rms = np.sqrt((x.astype(np.float64) ** 2).sum(axis=0))
    best = np.ones(rms.size, np.float32)
    least = sum(output_error_twin(each, best, x, block, (1, *INT4_SHARES)) for each in readers)
    for step in range(1, EXPONENTS + 1):
        raw = rms ** (step / EXPONENTS)
        factors = np.clip(raw / (raw.max() * raw.min()) ** 0.5, 1 / 64, 64).astype(np.float32)
        error = sum(output_error_twin(each, factors, x, block) for each in readers)
        if error < least:
            best, least = factors, error
    return best


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_factors_are_those_that_lose_least(dtype: type[np.floating]) -> None:
    x = inputs_with_outliers(64, 80)
    readers = [reader(64, 4, Int4(32), dtype), reader(64, 3, Int4(32), dtype, seed=5)]
    assert np.allclose(awq_factors(readers, x.T @ x), factors_twin(readers, x, 32), rtol=1e-4)


@pytest.mark.parametrize("block", [32, 64, 128])
def test_channels_that_carry_much_lose_much_less(block: int) -> None:
    x = inputs_with_outliers(256)
    moment, each = x.T @ x, reader(256, 40, Int4(block))
    found = awq_factors([each], moment)
    assert lost_with([each], found, moment) < 0.7 * lost_with([each], np.ones_like(found), moment)


@pytest.mark.parametrize("seed", range(6))
def test_it_never_loses_more_than_rounding_to_nearest(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = (rng.standard_normal((200, 64)) * np.exp(rng.normal(0, 0.3 * seed, 64))).astype(np.float32)
    moment, each = x.T @ x, reader(64, 1100, Int4(32), np.float16, seed)  # more columns than are tried
    assert thinned(each).weight.shape[1] < 1100
    found = awq_factors([each], moment)
    plain = lost_with([each], np.ones_like(found), moment, quantised_from_weight)
    assert (found == 1).all() or lost_with([each], found, moment) < plain


def test_inputs_that_are_all_alike_leave_weights_as_they_are() -> None:
    moment = np.eye(64, dtype=np.float32)
    assert (awq_factors([reader(64, 8, Int4(32))], moment) == 1).all()


def test_inputs_that_were_never_there_leave_weights_as_they_are() -> None:
    assert (awq_factors([reader(64, 8, Int4(32))], np.zeros((64, 64), np.float32)) == 1).all()


def test_the_error_is_that_of_the_outputs() -> None:
    x = inputs_with_outliers(64, 50)
    each, factors = reader(64, 5, Int4(32)), np.exp2(np.arange(64) % 5 - 2).astype(np.float32)
    found = lost_with([each], factors, x.T @ x)
    assert found == pytest.approx(output_error_twin(each, factors, x, 32), rel=1e-3)


def test_8_bit_readers_count_with_what_they_lose() -> None:
    x = inputs_with_outliers(64, 50)
    each, factors = reader(64, 5, Int8()), np.ones(64, np.float32)
    lost = x @ (weight_from_quantised(quantised_from_weight("l", each.weight, Int8())) - each.weight)
    assert lost_with([each], factors, x.T @ x) == pytest.approx(float((lost**2).sum()), rel=1e-2)


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    bundle = Bundle.open(bundle_below(session_folder(tmp_path_factory), "hybrid"))
    return bundle.path_of(bundle.graph("decoder", "ort"))


class KnownMoments(Moments):
    """As if samples had been seen."""

    def __init__(self, path: Path) -> None:
        self._rows = {layer.name: layer.rows for layer in layers_from_graph(ir.load(path).graph)}
        self.asked: list[str] = []

    def of(self, layer: str) -> Floats:
        self.asked.append(layer)
        x = inputs_with_outliers(self._rows[layer])
        return x.T @ x


def searched(path: Path, desk: Desk, decisions: dict[str, Decision]) -> tuple[dict[Pair, Floats], list[str]]:
    moments = KnownMoments(path)
    found = AwqSearch(path, decisions, moments, desk).factors(pairs_from_graph(ir.load(path).graph), silent)
    return found, moments.asked


def every_layer(path: Path) -> dict[str, Decision]:
    layers = layers_from_graph(ir.load(path).graph)
    return {layer.name: Int8() if layer.name == "head" else Int4(32) for layer in layers}


def test_every_group_of_4_bit_layers_gets_factors(decoder: Path, tmp_path: Path) -> None:
    found, asked = searched(decoder, Desk(tmp_path / "out", "key"), every_layer(decoder))
    givers = ["norm1", "v", "norm2", "up"]
    assert [pair.giver for pair in found] == [f"blocks.{n}.{giver}" for n in range(2) for giver in givers]
    assert asked == [f"blocks.{n}.{layer}" for n in range(2) for layer in ("q", "o", "gate", "down")]


def test_the_head_is_a_group_once_it_is_4_bit(decoder: Path, tmp_path: Path) -> None:
    found, _ = searched(decoder, Desk(tmp_path / "out", "key"), {"head": Int4(64)})
    assert [(pair.giver, pair.readers) for pair in found] == [("norm", ("head",))]


def test_what_was_found_is_not_looked_for_again(decoder: Path, tmp_path: Path) -> None:
    first, _ = searched(decoder, Desk(tmp_path / "out", "key"), every_layer(decoder))
    again, asked = searched(decoder, Desk(tmp_path / "out", "key"), every_layer(decoder))
    assert not asked and first.keys() == again.keys()
    assert all(np.array_equal(first[pair], again[pair]) for pair in first)
    _, asked = searched(decoder, Desk(tmp_path / "out", "key"), {"blocks.0.q": Int4(64)})
    assert asked == ["blocks.0.q"]  # nothing of it was asked for before


def test_what_8_bit_products_read_keeps_its_scale(decoder: Path, tmp_path: Path) -> None:
    """Their steps were measured before; of layers with one input, one that is such a product decides."""
    products: dict[str, Decision] = {name: Int8(0.01) for name in every_layer(decoder) if name != "head"}
    found, _ = searched(decoder, Desk(tmp_path / "one", "key"), products | {"head": Int4(32)})
    assert [pair.giver for pair in found] == ["norm"]
    mixed = every_layer(decoder) | {"blocks.0.k": Int8(0.01), "blocks.1.up": Int8(0.01)}
    found, _ = searched(decoder, Desk(tmp_path / "other", "key"), mixed)
    assert [pair.giver for pair in found] == [
        f"blocks.{each}" for each in ("0.v", "0.norm2", "0.up", "1.norm1", "1.v", "1.up")
    ]
    weights = every_layer(decoder) | {"blocks.0.k": Int8()}
    found, _ = searched(decoder, Desk(tmp_path / "third", "key"), weights)
    assert "blocks.0.norm1" in [pair.giver for pair in found]


def test_only_weights_whose_rows_were_made_larger_are_never_cut() -> None:
    each = reader(64, 8, Int4(32))
    rounding = AwqRounding(Scaling(rows={"layer1.weight": np.ones(64, np.float32)}))
    found = rounding("layer1", each.weight, each.how).scales
    assert np.array_equal(found, covered_from_weight("layer1", each.weight, each.how).scales)
    other = rounding("layer2", each.weight, each.how).scales
    assert np.array_equal(other, quantised_from_weight("layer2", each.weight, each.how).scales)
    assert not np.array_equal(found, other)
