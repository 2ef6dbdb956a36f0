from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edge_runtime.dialects import Dialect, Precision
from edge_runtime.errors import EdgeVLError
from edge_runtime.lint import check_caches, check_grammar, check_precision
from edge_runtime.manifest import PAST, PRESENT, GraphEntry, Port
from edge_runtime.onnxfile import Node, OnnxFile, Tensor
from edge_runtime.onnxreader import onnx_file_from_bytes
from tests.edge_runtime.bundle_samples import sample_spec

PORT = Port("x", "float16", (1, 8))
SPEC = sample_spec()


def entry(dialect: Dialect, opset: int) -> GraphEntry:
    return GraphEntry("adaptor", dialect, "fp16", "graphs/a.onnx", opset, (PORT,), (PORT,))


def file_of(*nodes: Node, tensors: tuple[Tensor, ...] = ()) -> OnnxFile:
    return OnnxFile(10, {"": 20}, (PORT,), (PORT,), tensors, nodes, tensors, ())


def node(op_type: str, *inputs: str, **attributes: int) -> Node:
    return Node(op_type, "", "it", inputs, ("y",), attributes)


def tensor(name: str, dtype: str, is_zero: bool | None = None) -> Tensor:
    return Tensor(name, dtype, (), None, is_zero)


SCALE = tensor("scale", "float16")


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
        file = file_of(node(operator, "x", "scale", "zero"), tensors=(SCALE, tensor("zero", dtype, True)))
        assert dtype in fault_of(file, dialect)


def test_onnx_runtime_may_have_any_zero_point() -> None:
    file = file_of(node("QuantizeLinear", "x", "scale", "zero"), tensors=(SCALE, tensor("zero", "uint8")))
    check_grammar(file, entry("ort", 20))


def test_rounding_without_a_zero_point_would_be_to_uint8() -> None:
    assert "uint8" in fault_of(file_of(node("QuantizeLinear", "x", "scale"), tensors=(SCALE,)))
    check_grammar(file_of(node("DequantizeLinear", "q", "scale"), tensors=(SCALE,)), entry("trt10", 20))


@pytest.mark.parametrize("dialect", ["trt10", "trt"])
def test_weights_without_a_sign_are_refused_even_where_no_zero_point_says_so(dialect: Dialect) -> None:
    weights = file_of(node("DequantizeLinear", "w", "scale"), tensors=(SCALE, tensor("w", "uint8")))
    assert "unpacks uint8" in fault_of(weights, dialect)


@pytest.mark.parametrize("dialect", ["trt10", "trt"])
def test_a_computed_scale_is_dynamic_quantisation_whatever_computes_it(dialect: Dialect) -> None:
    for operator in ("QuantizeLinear", "DequantizeLinear"):
        file = file_of(
            node("ReduceMax", "x"), node(operator, "x", "y", "zero"), tensors=(tensor("zero", "int8", True),)
        )
        assert "computes its scale" in fault_of(file, dialect)


@pytest.mark.parametrize("is_zero", [False, None])
def test_a_zero_point_that_is_not_seen_to_be_zero_is_refused(is_zero: bool | None) -> None:
    file = file_of(
        node("DequantizeLinear", "w", "scale", "zero"), tensors=(SCALE, tensor("zero", "int8", is_zero))
    )
    assert "not seen to be zero" in fault_of(file)


@pytest.mark.parametrize("packed", ["int8", "w"])
def test_blocks_are_for_4_bit_weights_alone(packed: str) -> None:
    """Even beside such weights, which open the newer opset."""
    beside = node("DequantizeLinear", "w4", "scale", block_size=32)
    file = file_of(
        beside,
        node("DequantizeLinear", packed, "scale", block_size=32),
        tensors=(SCALE, tensor("w4", "int4"), tensor("int8", "int8")),
    )
    assert "without being of 4 bits" in fault_of(file, opset=21)


@pytest.mark.parametrize(
    ("refused", "word"),
    [
        (node("Attention", "q", "k", "v", softcap=5), "softcap"),
        (node("Attention", "q", "k", "v", "", "past_k", "past_v"), "a cache of its own"),
        (node("Resize", "x", "", "sizes", antialias=1), "antialias"),
    ],
)
def test_what_the_parser_does_not_take_in_an_operator_is_named(refused: Node, word: str) -> None:
    assert word in fault_of(file_of(refused), "trt", 24)
    check_grammar(file_of(node("Attention", "q", "k", "v", "mask", softcap=0)), entry("trt", 24))


@pytest.mark.parametrize(("zero", "is_fine"), [(0, True), (5, False)])
def test_zero_points_are_read_in_the_file_itself(zero: int, is_fine: bool) -> None:
    nodes = [helper.make_node("DequantizeLinear", ["w", "scale", "zero"], ["y"], axis=1)]
    values: dict[str, NDArray[Any]] = {
        "w": np.ones((2, 3), np.int8),
        "scale": np.ones(3, np.float16),
        "zero": np.full(3, zero, np.int8),
    }
    stored = [numpy_helper.from_array(value, name) for name, value in values.items()]
    ends = helper.make_tensor_value_info("y", TensorProto.FLOAT16, [2, 3])
    model = helper.make_model(helper.make_graph(nodes, "g", [], [ends], stored))
    file = onnx_file_from_bytes(model.SerializeToString(), "graphs/a.onnx")
    if is_fine:
        check_grammar(file, entry("trt10", 20))
    else:
        assert "not seen to be zero" in fault_of(file)


def test_a_computed_zero_point_or_a_type_beside_it_is_refused() -> None:
    computed = file_of(node("QuantizeLinear", "x", "scale", "zero"), tensors=(SCALE,))
    assert "computes its zero point" in fault_of(computed)
    named = file_of(node("QuantizeLinear", "x", "scale", output_dtype=3))
    assert "names its type" in fault_of(named)


def test_signed_zero_points_are_fine() -> None:
    file = file_of(
        node("QuantizeLinear", "x", "scale", "zero"), tensors=(SCALE, tensor("zero", "int8", True))
    )
    check_grammar(file, entry("trt10", 20))


@pytest.mark.parametrize("dialect", ["ort", "trt10"])
def test_opset_21_is_for_4_bit_weights_alone(dialect: Dialect) -> None:
    assert "EVL-BUNDLE-OPSET" in fault_of(file_of(), dialect, 21)
    packed = file_of(
        node("DequantizeLinear", "w", "scale", block_size=32), tensors=(SCALE, tensor("w", "int4"))
    )
    check_grammar(packed, entry(dialect, 21))
    assert "EVL-BUNDLE-OPSET" in fault_of(packed, dialect, 22)


def test_trt_reads_opset_24_and_no_newer() -> None:
    check_grammar(file_of(node("Attention", "q", "k", "v")), entry("trt", 24))
    assert "EVL-BUNDLE-OPSET" in fault_of(file_of(), "trt", 25)


def decoder_entry(change: Callable[[list[Port]], object] = lambda _: None) -> GraphEntry:
    """As the sample spec's decoder, but for a change of its inputs."""
    decoder = SPEC.decoder
    shape = ("batch", decoder.kv_heads, "capacity", decoder.head_dim)
    names = [f"{layer}.{kind}" for layer in range(decoder.layers) for kind in ("key", "value")]
    inputs = [PORT, *(Port(PAST + name, "float16", shape) for name in names)]
    outputs = [PORT, *(Port(PRESENT + name, "float16", shape) for name in names)]
    change(inputs)
    return GraphEntry("decoder", "ort", "fp16", "graphs/d.onnx", 20, tuple(inputs), tuple(outputs))


def weights(dtype: str, rows: int = 8) -> Tensor:
    return Tensor(f"{rows} rows of {dtype}", dtype, (rows, 8), None)


def said(precision: Precision, *islands: str) -> GraphEntry:
    return replace(entry("ort", 20), precision=precision, fp32_islands=islands)


@pytest.mark.parametrize(
    ("precision", "dtype"),
    [("fp32", "float32"), ("fp16", "float16"), ("int8", "int8"), ("int4", "int4")],
)
def test_a_graph_has_weights_of_its_precision(precision: Precision, dtype: str) -> None:
    check_precision(file_of(tensors=(weights(dtype), weights("float32", 32))), said(precision))
    with pytest.raises(EdgeVLError) as caught:
        check_precision(file_of(tensors=(weights("bfloat16"), tensor("scale", dtype))), said(precision))
    assert f"not of {precision}, as the manifest says: there are none" in caught.value.why


@pytest.mark.parametrize(
    ("precision", "dtypes"),
    [
        ("int4", ["int8", "float32"]),
        ("int8", ["int8", "int4", "int4"]),
        ("fp32", ["float32", "int4", "int4"]),
        ("fp16", ["float16", "int8", "int8"]),
        ("fp16", ["float32", "int8"]),
        ("fp32", ["float16"]),
    ],
)
def test_what_most_of_its_weights_are_decides(precision: Precision, dtypes: list[str]) -> None:
    stored = tuple(weights(dtype, 8 + number) for number, dtype in enumerate(dtypes))
    with pytest.raises(EdgeVLError) as caught:
        check_precision(file_of(tensors=stored), said(precision))
    assert f"not of {precision}" in caught.value.why


def test_a_head_of_8_bits_leaves_a_decoder_of_4() -> None:
    check_precision(file_of(tensors=(weights("int4", 64), weights("int8", 16))), said("int4"))


@pytest.mark.parametrize("islands", [("*",), ("fc.0", "fc.1")])
def test_all_matrices_of_fp16_may_be_islands(islands: tuple[str, ...]) -> None:
    check_precision(file_of(tensors=(weights("float32"),)), said("fp16", *islands))
    with pytest.raises(EdgeVLError):
        check_precision(file_of(tensors=(weights("float32"),)), said("fp16"))


def test_a_decoder_has_the_caches_that_its_layers_need() -> None:
    check_caches(decoder_entry(), SPEC.decoder)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda ports: ports.pop(), "lacks"),
        (lambda ports: ports.append(replace(ports[1], name=f"{PAST}9.key")), "past_key_values.9.key"),
        (lambda ports: ports.__setitem__(1, replace(ports[1], name=f"{PAST}0.keys")), "0.key, past_key_values.0.keys"),
        (lambda ports: ports.__setitem__(2, replace(ports[2], dtype="int8")), "0.value is not as"),
        (lambda ports: ports.__setitem__(2, replace(ports[2], shape=(*ports[2].shape[:2], 64, ports[2].shape[3]))), "is not as"),
    ],
)  # fmt: skip
def test_other_caches_are_refused(change: Callable[[list[Port]], object], why: str) -> None:
    with pytest.raises(EdgeVLError, match="EVL-BUNDLE-GRAPH") as caught:
        check_caches(decoder_entry(change), SPEC.decoder)
    assert why in caught.value.why


@pytest.mark.parametrize("shape", [(1, 2, 8), ("batch", 99, "capacity", 4), ("batch", 2, "capacity", 99)])
def test_caches_of_another_shape_than_the_heads_are_refused(shape: tuple[int | str, ...]) -> None:
    def change(ports: list[Port]) -> None:
        ports[1:] = [replace(port, shape=shape) for port in ports[1:]]

    with pytest.raises(EdgeVLError, match="the manifest says 2 heads of 4"):
        check_caches(decoder_entry(change), SPEC.decoder)
