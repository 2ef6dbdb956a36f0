from pathlib import Path

import onnx_ir as ir
import pytest

from calibration.layer import check_names, layers_from_graph
from edge_runtime.errors import EdgeVLError
from tests.calibration.toy import INNER, LAYERS, WIDTH, Toy


def test_layers_are_found_by_their_modules_names_and_a_split_head_is_one_layer_in_parts(
    tmp_path: Path,
) -> None:
    layers = layers_from_graph(ir.load(Toy().write(tmp_path)).graph)
    assert [(layer.name, layer.part) for layer in layers] == [
        ("blocks.0.q", ""), ("blocks.0.k", ""), ("blocks.0.o", ""), ("head", "_0"), ("head", "_1"),
    ]  # fmt: skip
    assert (layers[0].rows, layers[0].columns, layers[0].dtype) == (WIDTH, INNER, ir.DataType.FLOAT)
    assert [node.name for node in layers[0].nodes] == ["blocks.0.q/MatMul"]


def model(text: str) -> ir.Model:
    return ir.from_onnx_text(f'<ir_version: 10, opset_import: ["" : 20]> g {text}')


@pytest.mark.parametrize(
    "text",
    [
        "(float[4] x) => (float[4] y) <float[4] a.weight> { y = Mul(x, a.weight) }",
        "(float[4,4] x) => (float[4,4] y) <float[4,4] a.weight> { y = Gemm(x, a.weight) }",
        "(float[4,4] x) => (float[4,4] y) <float[4,4] a.weight> { y = MatMul(a.weight, x) }",
        "(float[4,4] x) => (float[4,4] y) <float[4,4] a.weight> { y = MatMul(a.weight, a.weight) }",
        "(float[4,4] x) => (float[4,4] y) <float[4,4] a.table> { y = MatMul(x, a.table) }",
        "(float[4,4] x) => (float[4,4] y, float[4,4] z) <float[4,4] a.weight> "
        "{ y = MatMul(x, a.weight) z = Add(x, a.weight) }",
    ],
)
def test_what_is_no_product_with_a_stored_matrix_is_no_layer(text: str) -> None:
    graph = model(text).graph
    for value in graph.inputs[1:]:
        assert value.name != "a.weight"
    weight = ir.val(
        "a.weight" if "a.weight" in text else "a.table",
        ir.DataType.FLOAT,
        [4] if "float[4] x" in text else [4, 4],
    )
    assert all(layer.weight.name != weight.name for layer in layers_from_graph(graph))


def test_a_layer_that_is_not_there_is_an_error_that_lists_those_that_are(tmp_path: Path) -> None:
    layers = layers_from_graph(ir.load(Toy().write(tmp_path)).graph)
    check_names(LAYERS, layers, "decoder.onnx")
    with pytest.raises(EdgeVLError, match=r"no layer blocks\.9\.q.*blocks\.0\.q, blocks\.0\.k") as caught:
        check_names(["blocks.9.q", "head"], layers, "decoder.onnx")
    assert caught.value.code == "EVL-QUANT-LAYER"
