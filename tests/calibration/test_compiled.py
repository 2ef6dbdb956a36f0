"""What NVIDIA's compiler makes of quantised graphs; it needs no GPU."""

import importlib.util
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from calibration.decision import Decision, Int4, Int8
from calibration.quantgraph import write_quantised_graph
from edge_runtime.dialects import Dialect
from tests.calibration.toy import LAYERS, Toy

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx") is None, reason="tensorrt-rtx is not installed"
)

OPSETS: Mapping[Dialect, int] = {"trt10": 20, "trt": 24}


@pytest.fixture(params=list(OPSETS))
def dialect(request: pytest.FixtureRequest) -> Dialect:
    found: Dialect = request.param
    return found


def written(folder: Path, dialect: Dialect, decision: Decision) -> Path:
    target = folder / "out" / "decoder.onnx"
    target.parent.mkdir()
    source = Toy(np.float16, OPSETS[dialect]).write(folder / "in")
    write_quantised_graph(source, target, dialect, dict.fromkeys(LAYERS, decision))
    return target


def test_4_bit_weights_are_multiplied_with_halves_in_one_kernel(tmp_path: Path, dialect: Dialect) -> None:
    from tests.calibration.rtx import compiled

    plan = compiled(written(tmp_path, dialect, Int4(32)))
    assert plan.fusions == Counter({"ReplCastMulCastFc half int4 half": 5})
    assert plan.constant_bytes["int4"] == (2 * 128 * 64 + 64 * 128 + 128 * 48) // 2


def test_8_bit_weights_are_multiplied_with_halves_in_one_kernel(tmp_path: Path, dialect: Dialect) -> None:
    from tests.calibration.rtx import compiled

    plan = compiled(written(tmp_path, dialect, Int8()))
    assert plan.fusions == Counter({"CastMulCastFc half half int8": 5})
    assert plan.constant_bytes["int8"] == 2 * 128 * 64 + 64 * 128 + 128 * 48


def test_8_bit_activations_make_8_bit_products(tmp_path: Path, dialect: Dialect) -> None:
    from tests.calibration.rtx import compiled

    plan = compiled(written(tmp_path, dialect, Int8(0.04)))
    assert plan.products == Counter({"int8 x int8": 3})  # q with k, o, and the head's parts together
    assert plan.constant_bytes["int8"] == 2 * 128 * 64 + 64 * 128 + 128 * 48
