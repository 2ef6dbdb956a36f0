from __future__ import annotations

from dataclasses import replace

import pytest

from edge_runtime.dialects import Dialect
from edge_runtime.errors import EdgeVLError
from edge_runtime.lint import check_grammar
from edge_runtime.manifest import GraphEntry, Port
from edge_runtime.onnxfile import Node, OnnxFile, Tensor

PORT = Port("x", "float16", (1, 8))


def entry(dialect: Dialect, opset: int) -> GraphEntry:
    return GraphEntry("adaptor", dialect, "fp16", "graphs/a.onnx", opset, (PORT,), (PORT,))


def file_of(*nodes: Node, tensors: tuple[Tensor, ...] = ()) -> OnnxFile:
    return OnnxFile(10, {"": 20}, (PORT,), (PORT,), tensors, nodes, tensors, ())


def node(op_type: str, *inputs: str, **attributes: int) -> Node:
    return Node(op_type, "", "it", inputs, ("y",), attributes)


def tensor(name: str, dtype: str) -> Tensor:
    return Tensor(name, dtype, (), None)


def fault_of(file: OnnxFile, dialect: Dialect = "trt10", opset: int = 20) -> str:
    with pytest.raises(EdgeVLError) as caught:
        check_grammar(file, entry(dialect, opset))
    return f"{caught.value.code} {caught.value.why}"


@pytest.mark.parametrize(
    ("dialect", "operator"),
    [
        ("ort", "Attention"),
        ("ort", "TensorScatter"),
        ("trt10", "Attention"),
        ("trt10", "ScatterND"),
        ("trt10", "ScatterElements"),
        ("trt10", "RMSNormalization"),
        ("trt", "ScatterND"),
        ("trt10", "DynamicQuantizeLinear"),
        ("trt", "DynamicQuantizeLinear"),
        ("trt", "MatMulInteger"),
    ],
)
def test_an_operator_that_engines_of_the_dialect_lack_is_named(dialect: Dialect, operator: str) -> None:
    assert operator in fault_of(file_of(node(operator, "x")), dialect)


@pytest.mark.parametrize("dialect", ["trt10", "trt"])
def test_operators_of_other_makers_are_no_words_of_tensorrt(dialect: Dialect) -> None:
    stranger = replace(node("GroupQueryAttention", "x"), domain="com.microsoft")
    assert "com.microsoft::GroupQueryAttention" in fault_of(file_of(stranger), dialect)


def test_every_dialect_takes_plain_products() -> None:
    for dialect in ("ort", "trt10", "trt"):
        check_grammar(file_of(node("MatMul", "x", "w")), entry(dialect, 20))


@pytest.mark.parametrize("dialect", ["trt10", "trt"])
@pytest.mark.parametrize("dtype", ["uint8", "uint4", "uint16"])
def test_a_zero_point_without_a_sign_is_refused(dialect: Dialect, dtype: str) -> None:
    for operator in ("QuantizeLinear", "DequantizeLinear"):
        file = file_of(node(operator, "x", "scale", "zero"), tensors=(tensor("zero", dtype),))
        assert dtype in fault_of(file, dialect)


def test_onnx_runtime_may_have_any_zero_point() -> None:
    file = file_of(node("QuantizeLinear", "x", "scale", "zero"), tensors=(tensor("zero", "uint8"),))
    check_grammar(file, entry("ort", 20))


def test_rounding_without_a_zero_point_would_be_to_uint8() -> None:
    assert "uint8" in fault_of(file_of(node("QuantizeLinear", "x", "scale")))
    check_grammar(file_of(node("DequantizeLinear", "w", "scale")), entry("trt10", 20))


def test_a_computed_zero_point_or_a_type_beside_it_is_refused() -> None:
    assert "computes" in fault_of(file_of(node("QuantizeLinear", "x", "scale", "zero")))
    named = file_of(node("QuantizeLinear", "x", "scale", output_dtype=3))
    assert "names its type" in fault_of(named)


def test_signed_zero_points_are_fine() -> None:
    file = file_of(node("QuantizeLinear", "x", "scale", "zero"), tensors=(tensor("zero", "int8"),))
    check_grammar(file, entry("trt10", 20))


@pytest.mark.parametrize("dialect", ["ort", "trt10"])
def test_opset_21_is_for_4_bit_weights_alone(dialect: Dialect) -> None:
    assert "EVL-BUNDLE-OPSET" in fault_of(file_of(), dialect, 21)
    packed = file_of(node("DequantizeLinear", "w", "scale", block_size=32), tensors=(tensor("w", "int4"),))
    check_grammar(packed, entry(dialect, 21))
    assert "EVL-BUNDLE-OPSET" in fault_of(packed, dialect, 22)


def test_trt_reads_opset_24_and_no_newer() -> None:
    check_grammar(file_of(node("Attention", "q", "k", "v")), entry("trt", 24))
    assert "EVL-BUNDLE-OPSET" in fault_of(file_of(), "trt", 25)
