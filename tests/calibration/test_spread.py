"""Whole inputs of layers, counted while the graph runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from calibration.minmax import WatchedGraph
from calibration.spread import SpreadGraph
from edge_runtime.errors import EdgeVLError
from tests.calibration.toy import LAYERS, Toy


def test_the_largest_values_are_those_of_the_graph_that_only_keeps_them(tmp_path: Path) -> None:
    toy = Toy()
    path = toy.write(tmp_path)
    spread, watched = SpreadGraph(path, LAYERS, 1, "minmax"), WatchedGraph(path, LAYERS, 1)
    for scale in (1, 3, 2):
        one, other = (graph.run({"x": toy.x * scale}) for graph in (spread, watched))
        assert one.keys() == other.keys()
        assert all(np.array_equal(one[name], other[name]) for name in one)
    assert spread.reaches() == pytest.approx(watched.reaches())
    assert list(spread.reaches()) == list(dict.fromkeys(LAYERS))


def test_a_percentile_reaches_less_far(tmp_path: Path) -> None:
    toy = Toy()
    path = toy.write(tmp_path)
    loud = toy.x.copy()
    loud[0, 0, 0] = 40
    reaches = {}
    for observer in ("minmax", "mse"):
        graph = SpreadGraph(path, ["blocks.0.q"], 1, observer)
        graph.run({"x": loud})
        reaches[observer] = graph.reaches()["blocks.0.q"]
    assert reaches["minmax"] == 40 > reaches["mse"]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_sample_that_is_no_finite_number_is_named(tmp_path: Path, bad: float) -> None:
    toy = Toy()
    graph = SpreadGraph(toy.write(tmp_path), LAYERS, 1, "mse")
    graph.run({"x": toy.x})
    broken = toy.x.copy()
    broken[0, 2, 5] = bad
    with pytest.raises(EdgeVLError, match=r"sample 2 .* input of blocks\.0\.q"):
        graph.run({"x": broken})
