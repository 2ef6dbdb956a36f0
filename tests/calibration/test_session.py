"""What ONNX Runtime throws at a calibration, in our words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx_ir as ir
import onnxruntime
import pytest

from calibration.minmax import WatchedGraph
from calibration.moments import Moments
from calibration.session import Session
from calibration.spread import SpreadGraph
from edge_runtime.errors import MachineFault
from tests.calibration.toy import LAYERS, Toy

SHORT = "Failed to allocate memory for requested buffer\nof size 12345"
REMEDY = "use fewer threads (`taskset -c 0 edge-vl calibrate ...`) or --observer minmax if memory is short"

Measure = Callable[[Path, Toy], object]
MEASURES: dict[str, Measure] = {
    "minmax": lambda path, toy: WatchedGraph(path, LAYERS, 1).run({"x": toy.x}),
    "spread": lambda path, toy: SpreadGraph(path, LAYERS, 1, "mse").run({"x": toy.x}),
    "moments": lambda path, toy: Moments(path, LAYERS, [{"x": toy.x}], 1).of("blocks.0.q"),
}


class Starved:
    """A session that opens and cannot run."""

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def get_inputs(self) -> list[Any]:
        return [SimpleNamespace(name="x")]

    def run(self, *_: object) -> None:
        raise RuntimeError(SHORT)


def refuse(*_: object, **__: object) -> None:
    raise RuntimeError(SHORT)


@pytest.mark.parametrize(("session", "code"), [(Starved, "EVL-ENGINE-RUN"), (refuse, "EVL-ENGINE-ORT")])
@pytest.mark.parametrize("measure", MEASURES)
def test_what_is_thrown_while_opening_and_while_running_is_a_fault_of_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, measure: str, session: object, code: str
) -> None:
    toy = Toy()
    path = toy.write(tmp_path)
    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    with pytest.raises(MachineFault) as caught:
        MEASURES[measure](path, toy)
    assert (caught.value.code, caught.value.exit_status) == (code, 3)
    assert "decoder" in caught.value.what and caught.value.fix.startswith(REMEDY)
    assert "\n" not in caught.value.why


def test_outputs_are_those_that_were_named(tmp_path: Path) -> None:
    toy = Toy()
    path = toy.write(tmp_path)
    model = ir.load(path)
    session, output = Session(model, tmp_path, 1, "toy"), str(model.graph.outputs[0].name)
    assert session.needed == {"x"}
    (every,), (named,) = session.run(None, {"x": toy.x}), session.run([output], {"x": toy.x})
    assert np.array_equal(every, named)
