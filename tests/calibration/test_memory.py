"""However many layers there are, one is in memory at a time."""

import tracemalloc
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from calibration import blocks
from calibration.decision import Decision, Int4, Int8
from calibration.quantgraph import write_quantised_graph

LAYERS, ROWS, COLUMNS = 16, 512, 1024
LAYER_BYTES = ROWS * COLUMNS * 2


def write_stack(folder: Path) -> Path:
    """Layers side by side, 1 MiB of fp16 each."""
    folder.mkdir()
    values = np.random.default_rng(0).standard_normal(ROWS * COLUMNS).astype(np.float16)
    x = ir.val("x", ir.DataType.FLOAT16, ["batch", ROWS])
    weights, nodes = [], []
    with (folder / "g.data").open("wb") as file:
        for index in range(LAYERS):
            name = f"layer.{index}.weight"
            place = ir.ExternalTensor(
                "g.data",
                file.tell(),
                LAYER_BYTES,
                ir.DataType.FLOAT16,
                name=name,
                shape=ir.Shape([ROWS, COLUMNS]),
            )
            file.write(values.data.cast("B"))
            weights.append(ir.val(name, const_value=place))
            node = ir.node("MatMul", [x, weights[-1]], name=f"layer.{index}/MatMul")
            node.outputs[0].name = f"y{index}"
            node.outputs[0].type = ir.TensorType(ir.DataType.FLOAT16)
            nodes.append(node)
    outputs = [node.outputs[0] for node in nodes]
    graph = ir.Graph([x], outputs, nodes=nodes, initializers=weights, opset_imports={"": 20}, name="g")
    ir.save(ir.Model(graph, ir_version=10), folder / "g.onnx")
    return folder / "g.onnx"


@pytest.mark.parametrize("how", [Int4(128), Int8()])
def test_quantising_holds_one_layer_at_a_time(
    tmp_path: Path, how: Decision, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        blocks, "CHUNK_ELEMENTS", 1 << 17
    )  # pieces of a layer as small beside it as at full size
    source = write_stack(tmp_path / "in")
    (tmp_path / "out").mkdir()
    decisions = {f"layer.{index}": how for index in range(LAYERS)}
    tracemalloc.start()
    try:
        write_quantised_graph(source, tmp_path / "out" / "g.onnx", "trt10", decisions)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 * LAYER_BYTES
