"""A head in parts, as the compiler takes it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from export.engines.compiler import build_engine
from export.engines.inspector import report_from_plan
from export.engines.request import BuildRequest
from tests.export.engines.graphs import HALF, WIDTH, port, rows, save

PARTS, COLUMNS = 4, 512

pytest.importorskip("tensorrt_rtx")


def head_in_parts(path: Path) -> Path:
    nodes = [helper.make_node("MatMul", ["x", f"w{part}"], [f"y{part}"]) for part in range(PARTS)]
    nodes.append(helper.make_node("Concat", [f"y{part}" for part in range(PARTS)], ["y"], axis=-1))
    rng = np.random.Generator(np.random.PCG64(0))
    constants = {
        f"w{part}": rng.standard_normal((WIDTH, COLUMNS)).astype(np.float16) for part in range(PARTS)
    }
    ends = port("x", HALF, ["B", WIDTH]), port("y", HALF, ["B", PARTS * COLUMNS])
    return save(path, nodes, [ends[0]], [ends[1]], constants, 20)


def test_tensorrt_rtx_joins_the_parts_into_one_product_again(tmp_path: Path) -> None:
    """Nothing that we want: where this fails, a version has come for which the parts do what they are there for."""
    plan = tmp_path / "head.plan"
    graph = head_in_parts(tmp_path / "head.onnx")
    build_engine(BuildRequest("decoder", "tensorrt-rtx", str(graph), str(plan), (rows(),)))
    (profile,) = report_from_plan(plan).profiles
    assert profile.products_by_types() == {"half x half": 1}
    assert profile.constant_bytes is not None
    assert profile.constant_bytes["half"] == WIDTH * PARTS * COLUMNS * 2
