from pathlib import Path

import numpy as np
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


def one_product(
    operator: str, inputs: str, name: str = "a.weight", shape: tuple[int, ...] = (4, 4)
) -> ir.Graph:
    """A graph of one operator on `x` and a stored `w`."""
    values = {"x": ir.val("x", ir.DataType.FLOAT, [4, 4])}
    values["w"] = ir.val(name, const_value=ir.Tensor(np.ones(shape, np.float32), name=name))
    node = ir.node(operator, [values[key] for key in inputs])
    return ir.Graph(
        [values["x"]], node.outputs, nodes=[node], initializers=[values["w"]], opset_imports={"": 20}
    )


def test_a_product_with_a_stored_matrix_is_a_layer() -> None:
    assert [layer.name for layer in layers_from_graph(one_product("MatMul", "xw"))] == ["a"]


@pytest.mark.parametrize(
    "graph",
    [
        one_product("Mul", "xw"),
        one_product("Gemm", "xw"),
        one_product("MatMul", "wx"),
        one_product("MatMul", "ww"),
        one_product("MatMul", "xx"),
        one_product("MatMul", "xw", name="a.table"),
        one_product("MatMul", "xw", shape=(4,)),
        one_product("MatMul", "xw", shape=(1, 4, 4)),
    ],
)
def test_nothing_else_is_a_layer(graph: ir.Graph) -> None:
    assert layers_from_graph(graph) == ()


def test_a_weight_that_something_else_reads_too_is_no_layers() -> None:
    graph = one_product("MatMul", "xw")
    graph.append(ir.node("Relu", [graph.initializers["a.weight"]]))
    assert layers_from_graph(graph) == ()


def test_a_layer_that_is_not_there_is_an_error_that_lists_those_that_are(tmp_path: Path) -> None:
    layers = layers_from_graph(ir.load(Toy().write(tmp_path)).graph)
    check_names(LAYERS, layers, "decoder.onnx")
    with pytest.raises(EdgeVLError, match=r"no layer blocks\.9\.q.*blocks\.0\.q, blocks\.0\.k") as caught:
        check_names(["blocks.9.q", "head"], layers, "decoder.onnx")
    assert caught.value.code == "EVL-QUANT-LAYER"
