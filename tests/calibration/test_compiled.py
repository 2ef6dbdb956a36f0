"""What NVIDIA's compiler makes of quantised graphs; it needs no GPU."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from calibration.decision import Decision, Int4, Int8
from calibration.quantgraph import write_quantised_graph
from edge_runtime.dialects import Dialect
from export.engines.compiler import build_engine
from export.engines.inspector import ProfileReport, report_from_plan
from export.engines.request import BuildRequest
from export.engines.shapes import Profile, ShapeRange
from tests.calibration.toy import LAYERS, WIDTH, Toy

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx") is None, reason="tensorrt-rtx is not installed"
)

OPSETS: Mapping[Dialect, int] = {"trt10": 20, "trt": 24}
WEIGHTS = 2 * 128 * 64 + 64 * 128 + 128 * 48
PROFILE = Profile("any", {"x": ShapeRange((1, 1, WIDTH), (16, 16, WIDTH), (64, 64, WIDTH))})


@pytest.fixture(params=list(OPSETS))
def dialect(request: pytest.FixtureRequest) -> Dialect:
    found: Dialect = request.param
    return found


def compiled(folder: Path, dialect: Dialect, decision: Decision) -> ProfileReport:
    target = folder / "out" / "decoder.onnx"
    target.parent.mkdir()
    source = Toy(np.float16, OPSETS[dialect]).write(folder / "in")
    write_quantised_graph(source, target, dialect, dict.fromkeys(LAYERS, decision))
    plan = folder / "decoder.plan"
    build_engine(BuildRequest("decoder", "tensorrt-rtx", str(target), str(plan), (PROFILE,)))
    (profile,) = report_from_plan(plan).profiles
    return profile


def constants(profile: ProfileReport, kind: str) -> int:
    assert profile.constant_bytes is not None
    return profile.constant_bytes[kind]


def test_4_bit_weights_are_multiplied_with_halves_in_one_kernel(tmp_path: Path, dialect: Dialect) -> None:
    profile = compiled(tmp_path, dialect, Int4(32))
    assert profile.products_by_types() == {"half x int4": 5}
    assert constants(profile, "int4") == WEIGHTS // 2


def test_8_bit_weights_are_multiplied_with_halves_in_one_kernel(tmp_path: Path, dialect: Dialect) -> None:
    profile = compiled(tmp_path, dialect, Int8())
    assert profile.products_by_types() == {"half x int8": 5}
    assert constants(profile, "int8") == WEIGHTS


def test_8_bit_activations_make_8_bit_products(tmp_path: Path, dialect: Dialect) -> None:
    profile = compiled(tmp_path, dialect, Int8(0.04))
    assert profile.products_by_types() == {"int8 x int8": 3}  # q with k, o, and the head's parts together
    assert constants(profile, "int8") == WEIGHTS
