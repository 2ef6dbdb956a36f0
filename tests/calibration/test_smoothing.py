"""Outlier channels, and what 8-bit products make of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
import pytest

from calibration.blocks import Floats
from calibration.decision import Decision, Int8
from calibration.layer import layers_from_graph
from calibration.migration import Scaling, factors_by_layer, scaling_from_factors
from calibration.minmax import WatchedGraph, scale_from_absmax
from calibration.pairs import pairs_from_graph
from calibration.quantgraph import write_quantised_graph
from calibration.session import Feeds
from calibration.smoothing import factors_from_magnitudes, reaches_after, smoothing_factors
from calibration.spread import SpreadGraph
from edge_runtime.bundle import Bundle
from tests.calibration.toy import session
from tests.proof.subject import bundle_below, session_folder

Array = npt.NDArray[Any]
PLANTED = 40.0  # how much further a few channels reach than they did


@pytest.fixture(scope="module")
def tower(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A low tower where two channels of every norm reach far, and weigh as much less: it answers as before."""
    bundle = Bundle.open(bundle_below(session_folder(tmp_path_factory), "hybrid"))
    source = bundle.path_of(bundle.graph("vision_low", "ort"))
    factors = {}
    for number, pair in enumerate(pairs_from_graph(ir.load(source).graph)):
        factors[pair] = np.ones(32, np.float32)
        factors[pair][[number, number + 9]] = 1 / PLANTED
    target = tmp_path_factory.mktemp("planted") / "vision_low.onnx"
    write_quantised_graph(source, target, "ort", {}, scaling=scaling_from_factors(factors))
    return target


def pixels(seed: int) -> Feeds:
    return {"pixels": np.random.default_rng(seed).uniform(-1, 1, (1, 3, 96, 96)).astype(np.float32)}


def watched(path: Path) -> WatchedGraph:
    graph = WatchedGraph(path, names_in(path), threads=1)
    for seed in range(4):
        graph.run(pixels(seed))
    return graph


def names_in(path: Path) -> list[str]:
    return [layer.name for layer in layers_from_graph(ir.load(path).graph)]


def smoothed(path: Path, strength: float) -> tuple[Scaling, dict[str, float], dict[str, Floats]]:
    graph, channels = ir.load(path).graph, watched(path).channels()
    found = smoothing_factors(pairs_from_graph(graph), layers_from_graph(graph), channels, strength)
    factors = dict(factors_by_layer(found))
    return scaling_from_factors(found), reaches_after(channels, factors), factors


def sqnr_db(source: Path, target: Path, reaches: Mapping[str, float], scaling: Scaling) -> float:
    """Of the tower's features on a picture that was not calibrated with."""
    target.parent.mkdir()
    decisions: dict[str, Decision] = {name: Int8(scale_from_absmax(each)) for name, each in reaches.items()}
    write_quantised_graph(source, target, "ort", decisions, scaling=scaling)
    wanted, found = (session(path).run(None, pixels(9))[0] for path in (source, target))
    return float(10 * np.log10((wanted**2).sum() / ((found - wanted) ** 2).sum()))


def test_outlier_channels_cost_much_less_after_smoothing(tower: Path, tmp_path: Path) -> None:
    plain = sqnr_db(tower, tmp_path / "plain" / "v.onnx", watched(tower).reaches(), Scaling())
    scaling, reaches, _ = smoothed(tower, 0.5)
    smooth = sqnr_db(tower, tmp_path / "smooth" / "v.onnx", reaches, scaling)
    assert smooth > plain + 6, f"{plain:.1f} dB without, {smooth:.1f} dB with"


def test_reaches_are_those_of_the_graph_as_it_is_written(tower: Path, tmp_path: Path) -> None:
    scaling, reaches, _ = smoothed(tower, 0.5)
    target = tmp_path / "v.onnx"
    write_quantised_graph(tower, target, "ort", {}, scaling=scaling)
    seen = watched(target).reaches()
    assert reaches.keys() == seen.keys()
    assert max(abs(reaches[name] / seen[name] - 1) for name in seen) < 1e-4


def test_a_histogram_of_divided_inputs_is_that_of_the_graph_as_it_is_written(
    tower: Path, tmp_path: Path
) -> None:
    scaling, _, factors = smoothed(tower, 0.5)
    target = tmp_path / "v.onnx"
    write_quantised_graph(tower, target, "ort", {}, scaling=scaling)
    divided = SpreadGraph(tower, names_in(tower), 1, "mse", factors)
    written = SpreadGraph(target, names_in(target), 1, "mse")
    for graph in (divided, written):
        graph.run(pixels(0))
    seen = written.reaches()
    assert max(abs(reach / seen[name] - 1) for name, reach in divided.reaches().items()) < 0.02


def twin(inputs: Array, weights: Array, strength: float) -> list[float]:
    ratios = [float(x) ** strength / float(w) ** (1 - strength) for x, w in zip(inputs, weights, strict=True)]
    middle = (max(ratios) * min(ratios)) ** 0.5
    return [
        max(min(max(ratio / middle, 1 / 64), 64), float(x) / float(max(inputs)))
        for ratio, x in zip(ratios, inputs, strict=True)
    ]


@pytest.mark.parametrize("strength", [0.25, 0.5, 1.0])
def test_factors_are_those_of_the_formula(strength: float) -> None:
    rng = np.random.default_rng(0)
    inputs, weights = (np.exp(rng.normal(0, 2, 24)).astype(np.float32) for _ in range(2))
    found = factors_from_magnitudes(inputs, weights, strength)
    assert np.allclose(found, twin(inputs, weights, strength), rtol=1e-4)
    assert (inputs / found).max() <= inputs.max() * (1 + 1e-6)


def test_idle_channels_and_idle_weights_have_finite_factors() -> None:
    inputs, weights = np.array([0, 1, 50], np.float32), np.array([1, 0, 2], np.float32)
    found = factors_from_magnitudes(inputs, weights, 0.5)
    assert np.isfinite(found).all() and (found > 0).all()
