"""Every graph of a real bundle through the whole seam: ranges, decisions, a new graph, an answer."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
import pytest

from calibration.decision import Decision, Int8
from calibration.layer import layers_from_graph
from calibration.minmax import scale_from_absmax
from calibration.quantgraph import write_quantised_graph
from edge_runtime.bundle import Bundle
from edge_runtime.manifest import Port
from tests.calibration.reaches import absmax_from_samples
from tests.calibration.toy import session
from tests.proof.subject import bundle_below, session_folder

SIZES = {"batch": 1, "sequence": 6, "rows": 2, "capacity": 64}


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return Bundle.open(bundle_below(session_folder(tmp_path_factory), "hybrid"))


def feed(port: Port, rng: np.random.Generator) -> npt.NDArray[Any]:
    shape = [SIZES[size] if isinstance(size, str) else size for size in port.shape]
    if port.dtype == "int64":
        return np.zeros(shape, np.int64)
    return rng.standard_normal(shape).astype(port.dtype)


@pytest.mark.parametrize("role", ["vision_high", "vision_low", "adaptor", "decoder"])
def test_a_role_with_8_bit_products_answers_nearly_as_before(
    bundle: Bundle, role: Any, tmp_path: Path
) -> None:
    entry = bundle.graph(role, "ort")
    source, target = bundle.path_of(entry), tmp_path / f"{role}.onnx"
    rng = np.random.default_rng(0)
    feeds = {port.name: feed(port, rng) for port in entry.inputs}
    names = list(dict.fromkeys(layer.name for layer in layers_from_graph(ir.load(source).graph)))
    ranges = absmax_from_samples(source, names, [feeds], threads=1)
    decisions: dict[str, Decision] = {name: Int8(scale_from_absmax(peak)) for name, peak in ranges.items()}
    done = write_quantised_graph(source, target, "ort", decisions)
    assert {outcome.layer: outcome.decision for outcome in done.outcomes} == decisions
    wanted, found = (
        np.asarray(session(path).run([entry.outputs[0].name], feeds)[0], np.float32)
        for path in (source, target)
    )
    assert 10 * np.log10((wanted**2).sum() / ((found - wanted) ** 2).sum()) > 25
