"""Scale that moves changes nothing until something is rounded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
import pytest

from calibration.blocks import Floats
from calibration.layer import layers_from_graph
from calibration.migration import LARGEST_FACTOR, Scaling, balanced, pairs_of, raised, scaling_from_factors
from calibration.pairs import Pair
from calibration.quantgraph import write_quantised_graph
from edge_runtime.bundle import Bundle
from edge_runtime.dialects import Dialect
from edge_runtime.errors import EdgeVLError
from edge_runtime.manifest import GraphEntry
from edge_runtime.spec import Role
from tests.calibration.toy import session
from tests.proof.subject import bundle_below, session_folder

Array = npt.NDArray[Any]
DIALECTS: tuple[Dialect, ...] = ("ort", "trt10", "trt")
SIZES = {"batch": 1, "sequence": 5, "rows": 2, "capacity": 32}


def random_factors(bundle: Bundle, role: Role) -> dict[Pair, Floats]:
    """Of all pairs, from an eighth to eight."""
    rng = np.random.default_rng(1)
    graph = ir.load(bundle.path_of(entry_of(bundle, role))).graph
    rows = {layer.name: layer.rows for layer in layers_from_graph(graph)}
    return {
        pair: np.exp2(rng.uniform(-3, 3, rows[pair.readers[0]])).astype(np.float32)
        for pair in pairs_of(bundle, role)
    }


def entry_of(bundle: Bundle, role: Role) -> GraphEntry:
    return next(entry for entry in bundle.manifest.graphs if entry.role == role)


def feeds_of(entry: GraphEntry, start: int = 0) -> dict[str, Array]:
    rng = np.random.default_rng(start)
    feeds = {}
    for port in entry.inputs:
        shape = [SIZES[size] if isinstance(size, str) else size for size in port.shape]
        is_random = port.dtype != "int64" and not port.name.startswith("past_key_values.")
        feeds[port.name] = (rng.standard_normal(shape) if is_random else np.zeros(shape)).astype(port.dtype)
    if "write_index" in feeds:
        feeds["write_index"] += start
    return feeds


def answers(path: Path, entry: GraphEntry) -> list[Array]:
    """What the graph gives; a decoder twice, the second time with what it wrote to its cache."""
    opened, names = session(path), [port.name for port in entry.outputs]
    first = dict(zip(names, opened.run(names, feeds_of(entry)), strict=True))
    if "logits" not in first:
        return list(first.values())
    cache = {
        name.replace("present.", "past_key_values."): array
        for name, array in first.items()
        if name.startswith("present.")
    }
    return [first["logits"], opened.run(["logits"], {**feeds_of(entry, SIZES["sequence"]), **cache})[0]]


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("role", ["vision_high", "vision_low", "decoder"])
def test_a_graph_with_moved_scale_answers_as_before(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, role: Role, dialect: Dialect
) -> None:
    bundle = Bundle.open(
        bundle_below(session_folder(tmp_path_factory), "hybrid", "fp32", "transformers", dialect)
    )
    entry, factors = entry_of(bundle, role), random_factors(bundle, role)
    target = tmp_path / f"{role}.onnx"
    source = bundle.path_of(entry)
    done = write_quantised_graph(source, target, dialect, {}, scaling=scaling_from_factors(factors))
    readers = {name for pair in factors for name in pair.readers}
    assert {each.layer for each in done.outcomes if each.is_migrated} == readers
    for wanted, found in zip(answers(source, entry), answers(target, entry), strict=True):
        assert np.abs(found - wanted).max() <= 2e-5 * np.abs(wanted).max()
    assert source.with_suffix(".data").read_bytes() != target.with_suffix(".data").read_bytes()


def test_without_factors_nothing_is_written_differently(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    bundle = Bundle.open(bundle_below(session_folder(tmp_path_factory), "hybrid"))
    source = bundle.path_of(entry_of(bundle, "decoder"))
    target = tmp_path / "decoder.onnx"
    write_quantised_graph(source, target, "ort", {}, scaling=Scaling())
    assert target.with_suffix(".data").read_bytes() == source.with_suffix(".data").read_bytes()


def test_rows_are_multiplied_and_the_last_axis_divided() -> None:
    factors = np.array([2, 4], np.float32)
    scaling = scaling_from_factors({Pair("up", ("up.weight",), ("down",), is_norm=False): factors})
    weight = np.arange(4, dtype=np.float16).reshape(2, 2) + 1
    assert np.array_equal(scaling.applied("down.weight", weight), [[2, 4], [12, 16]])
    assert np.array_equal(scaling.applied("up.weight", weight), [[0.5, 0.5], [1.5, 1]])
    assert scaling.applied("down.weight", weight).dtype == np.float16
    assert scaling.applied("gate.weight", weight) is weight


def test_parts_of_a_head_are_scaled_as_the_whole() -> None:
    scaling = Scaling(rows={"head.weight": np.array([2, 4], np.float32)})
    part = np.ones((2, 3), np.float32)
    assert np.array_equal(scaling.applied("head.weight_1", part), [[2] * 3, [4] * 3])
    assert scaling.is_migrated("head") and not scaling.is_migrated("norm")


def test_a_layer_may_take_and_give() -> None:
    scaling = Scaling({"v.weight": np.array([2, 4], np.float32)}, {"v.weight": np.array([4, 8], np.float32)})
    assert np.array_equal(scaling.applied("v.weight", np.ones((2, 2), np.float32)), [[0.5, 0.25], [1, 0.5]])


def test_what_its_type_cannot_hold_is_an_error_with_the_tensors_name() -> None:
    scaling = Scaling(rows={"q.weight": np.array([64], np.float32)})
    with pytest.raises(EdgeVLError, match=r"q\.weight") as caught:
        scaling.applied("q.weight", np.array([[2000.0]], np.float16))
    assert caught.value.code == "EVL-QUANT-SCALE"


def test_factors_lie_as_far_above_one_as_below_and_within_bounds() -> None:
    found = balanced(np.array([1, 4, 16], np.float32))
    assert np.allclose(found, [0.25, 1, 4])
    wide = balanced(np.array([1e-6, 1, 1e6], np.float32))
    assert wide.tolist() == [1 / LARGEST_FACTOR, 1, LARGEST_FACTOR]


def test_channels_that_were_never_reached_count_as_very_small_ones() -> None:
    assert np.allclose(raised(np.array([0, 10], np.float32)), [1e-3, 10])
    assert raised(np.zeros(2, np.float32)).tolist() == [1, 1]
