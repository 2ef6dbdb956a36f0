from __future__ import annotations

import resource
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from hypothesis import example, given, settings
from hypothesis import strategies as st
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from edge_runtime.errors import EdgeVLError
from edge_runtime.manifest import Port
from edge_runtime.onnxfile import ExternalData, OnnxFile
from edge_runtime.onnxreader import onnx_file_from_bytes, onnx_file_from_path
from edge_runtime.onnxschema import DTYPES
from tests.edge_runtime.test_protobuf import block, varint

FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL


def outside(name: str, location: str = "w.data", **pairs: str) -> TensorProto:
    tensor = TensorProto(name=name, data_type=FLOAT, dims=[2, 3], data_location=TensorProto.EXTERNAL)
    for key, value in {"location": location, **pairs}.items():
        tensor.external_data.add(key=key, value=value)
    return tensor


def inside(name: str) -> TensorProto:
    return numpy_helper.from_array(np.ones((2, 3), np.float32), name)


def graph_of(nodes: list[NodeProto], *initializers: TensorProto, name: str = "g") -> GraphProto:
    ports = [[helper.make_tensor_value_info(port, FLOAT, ["batch", 3])] for port in ("x", "y")]
    return helper.make_graph(nodes, name, ports[0], ports[1], list(initializers))


def model_of(nodes: list[NodeProto], *initializers: TensorProto) -> ModelProto:
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph_of(nodes, *initializers), opset_imports=opsets, ir_version=10)


def read(model: ModelProto) -> OnnxFile:
    return onnx_file_from_bytes(model.SerializeToString(), "g.onnx")


def refusal(data: bytes) -> str:
    with pytest.raises(EdgeVLError) as caught:
        onnx_file_from_bytes(data, "g.onnx")
    assert caught.value.code == "EVL-BUNDLE-GRAPH"
    assert caught.value.what == "g.onnx is not a usable graph"
    return caught.value.why


def add(*names: str) -> NodeProto:
    return helper.make_node("Add", names[:2], names[2:], name="add")


def test_ports_opsets_and_nodes_are_read() -> None:
    node = helper.make_node("Sum", ["x", ""], ["y"], name="n", domain="com.microsoft")
    file = read(model_of([add("x", "w", "x2"), node], inside("w")))
    assert (file.ir_version, file.opsets) == (10, {"": 20, "com.microsoft": 1})
    assert file.inputs == (Port("x", "float32", ("batch", 3)),)
    assert file.outputs == (Port("y", "float32", ("batch", 3)),)
    assert [(one.op_type, one.domain, one.name) for one in file.nodes] == [
        ("Add", "", "add"),
        ("Sum", "com.microsoft", "n"),
    ]
    assert (file.nodes[1].inputs, file.nodes[1].outputs) == (("x", ""), ("y",))
    assert [one.operator for one in file.nodes] == ["Add", "com.microsoft::Sum"]


def test_initializers_have_type_dimensions_and_place() -> None:
    file = read(model_of([add("x", "w", "y")], inside("w"), outside("v", offset="4096", length="24")))
    inner, outer = file.initializers
    assert (inner.name, inner.dtype, inner.dims, inner.external) == ("w", "float32", (2, 3), None)
    assert outer.external == ExternalData("w.data", 4096, 24)
    assert (outer.dims, outer.nbytes) == ((2, 3), 24)
    assert file.tensors == file.initializers


def test_an_external_tensor_without_offset_and_length_starts_at_zero() -> None:
    assert read(model_of([], outside("v"))).tensors[0].external == ExternalData("w.data", 0, None)


def test_every_type_that_onnx_knows_is_named_as_onnx_does_and_has_its_size() -> None:
    # 6-bit floats have no settled packing; no engine of ours takes them.
    codes = {code for name, code in TensorProto.DataType.items() if "FLOAT6" not in name} - {0}
    assert set(DTYPES) == codes
    for code in sorted(codes - {TensorProto.STRING}):
        array = np.zeros(5, dtype=helper.tensor_dtype_to_np_dtype(code))
        tensor = numpy_helper.from_array(array, "w")
        found = read(model_of([], tensor)).tensors[0]
        assert found.nbytes == len(tensor.raw_data)
        name = TensorProto.DataType.Name(code).lower()
        assert found.dtype == {"float": "float32", "double": "float64"}.get(name, name)


def test_numbers_and_strings_of_attributes_are_kept_and_all_else_is_none() -> None:
    node = helper.make_node("N", ["x"], ["y"], i=-3, f=0.5, s="add", z=0, many=[1, 2], t=inside("t"))
    attributes = read(model_of([node])).nodes[0].attributes
    assert attributes == {"i": -3, "f": 0.5, "s": b"add", "z": 0, "many": None, "t": None}


def in_attribute(tensor: TensorProto) -> ModelProto:
    return model_of([helper.make_node("Constant", [], ["y"], value=tensor)])


def in_attribute_list(tensor: TensorProto) -> ModelProto:
    node = helper.make_node("N", [], ["y"])
    node.attribute.append(
        AttributeProto(name="ts", type=AttributeProto.TENSORS, tensors=[inside("a"), tensor])
    )
    return model_of([node])


def in_sparse_attribute(tensor: TensorProto) -> ModelProto:
    node = helper.make_node("Constant", [], ["y"])
    sparse = onnx.SparseTensorProto(values=inside("a"), indices=tensor, dims=[4])
    node.attribute.append(AttributeProto(name="s", type=AttributeProto.SPARSE_TENSOR, sparse_tensor=sparse))
    return model_of([node])


def in_sparse_initializer(tensor: TensorProto) -> ModelProto:
    model = model_of([])
    model.graph.sparse_initializer.append(
        onnx.SparseTensorProto(values=tensor, indices=inside("i"), dims=[4])
    )
    return model


def in_if_branch(tensor: TensorProto) -> ModelProto:
    branches = [graph_of([add("x", "w", "y")], inside("w")), graph_of([add("x", "w", "y")], tensor)]
    node = helper.make_node("If", ["c"], ["y"], then_branch=branches[0], else_branch=branches[1])
    return model_of([node])


def in_loop_in_if(tensor: TensorProto) -> ModelProto:
    loop = helper.make_node("Loop", ["m", "c"], ["y"], body=graph_of([add("x", "w", "y")], tensor))
    return model_of([helper.make_node("If", ["c"], ["y"], then_branch=graph_of([loop]))])


def in_graph_list(tensor: TensorProto) -> ModelProto:
    node = helper.make_node("N", [], ["y"])
    node.attribute.append(
        AttributeProto(name="gs", type=AttributeProto.GRAPHS, graphs=[graph_of([], tensor)])
    )
    return model_of([node])


def in_function(tensor: TensorProto) -> ModelProto:
    constant = helper.make_node("Constant", [], ["w"], value=tensor)
    opsets = [helper.make_opsetid("", 20)]
    function = helper.make_function("mine", "F", ["x"], ["y"], [constant, add("x", "w", "y")], opsets)
    model = model_of([helper.make_node("F", ["x"], ["y"], domain="mine")])
    model.functions.append(function)
    return model


def in_function_default(tensor: TensorProto) -> ModelProto:
    model = in_function(inside("w"))
    model.functions[0].attribute_proto.append(helper.make_attribute("a", tensor))
    return model


def in_training(tensor: TensorProto) -> ModelProto:
    model = model_of([])
    model.training_info.append(onnx.TrainingInfoProto(algorithm=graph_of([], tensor)))
    return model


HIDING = [
    in_attribute, in_attribute_list, in_sparse_attribute, in_sparse_initializer, in_if_branch, in_loop_in_if,
    in_graph_list, in_function, in_function_default, in_training,
]  # fmt: skip


@pytest.mark.parametrize("hide", HIDING)
def test_a_tensor_is_found_wherever_it_hides(hide: Callable[[TensorProto], ModelProto]) -> None:
    file = read(hide(outside("stray", "../../etc/passwd")))
    external = [tensor.external for tensor in file.tensors if tensor.name == "stray"]
    assert external == [ExternalData("../../etc/passwd", 0, None)]


def test_operators_of_subgraphs_and_functions_are_found() -> None:
    assert [node.op_type for node in read(in_loop_in_if(inside("w"))).nodes] == ["Add", "Loop", "If"]
    file = read(in_function(inside("w")))
    assert [node.operator for node in file.nodes] == ["mine::F", "Constant", "Add"]
    assert [(one.operator, one.opsets) for one in file.functions] == [("mine::F", {"": 20})]


def test_the_long_name_of_the_standard_domain_is_the_standard_domain() -> None:
    model = model_of([helper.make_node("Add", ["x", "x"], ["y"], domain="ai.onnx")])
    model.opset_import[0].domain = "ai.onnx"
    assert read(model).opsets[""] == 20
    assert read(model).nodes[0].operator == "Add"


def test_it_agrees_with_onnx_on_a_file_with_external_data(tmp_path: Path) -> None:
    weights = [
        numpy_helper.from_array(np.random.default_rng(i).random((40, i + 1)), f"w{i}") for i in range(5)
    ]
    path = tmp_path / "m.onnx"
    onnx.save(model_of([], *weights), path, save_as_external_data=True, location="m.data", size_threshold=0)
    oracle = {tensor.name: tensor for tensor in onnx.load(path, load_external_data=False).graph.initializer}
    for tensor in onnx_file_from_path(path, "m.onnx").tensors:
        pairs = {pair.key: pair.value for pair in oracle[tensor.name].external_data}
        assert tensor.external == ExternalData(pairs["location"], int(pairs["offset"]), int(pairs["length"]))
        assert tensor.external.length == tensor.nbytes


def test_dimensions_may_be_unnamed() -> None:
    model = model_of([])
    model.graph.input[0].type.tensor_type.shape.dim[0].Clear()
    assert read(model).inputs[0].shape == ("?", 3)


def broken(change: Callable[[ModelProto], object]) -> bytes:
    model = model_of([add("x", "w", "y")], inside("w"))
    change(model)
    return bytes(model.SerializeToString())


def with_tensor(tensor: TensorProto) -> bytes:
    return bytes(model_of([], tensor).SerializeToString())


def doubled(name: str) -> bytes:
    tensor = outside("v")
    tensor.external_data.add(key=name, value="1")
    tensor.external_data.add(key=name, value="2")
    return with_tensor(tensor)


PLAIN = model_of([add("x", "w", "y")], inside("w")).SerializeToString()


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "no graph"),
        (b"not a protobuf at all", "ModelProto"),
        (PLAIN[:-3], "before the end"),
        (PLAIN + PLAIN, "a ModelProto has two"),
        (PLAIN + block(7, b""), "a ModelProto has two graph"),
        (PLAIN + block(99, b""), "a ModelProto has the unknown field 99"),
        (PLAIN + block(8, b""), "it names the operator set '' twice"),
        (broken(lambda model: model.ClearField("graph")), "no graph"),
        (broken(lambda model: model.ClearField("opset_import")), "names no operator set"),
        (broken(lambda model: model.graph.input[0].ClearField("type")), "not a tensor of known type"),
        (broken(lambda model: model.graph.input[0].type.tensor_type.ClearField("shape")), "type and rank"),
        (broken(lambda model: model.graph.output[0].ClearField("name")), "has no name"),
        (broken(lambda model: model.graph.input[0].type.sequence_type.SetInParent()), "not a tensor of known type"),
        (broken(lambda model: model.graph.node[0].attribute.extend([helper.make_attribute("a", 1)] * 2)), "'a' twice"),
        (with_tensor(TensorProto(name="v", data_type=FLOAT, dims=[2, -3])), "dimensions [2, -3]"),
        (with_tensor(TensorProto(name="v", data_type=0, dims=[2])), "type 0"),
        (with_tensor(TensorProto(name="v", data_type=99, dims=[2])), "type 99"),
        (with_tensor(outside("v", checksum="1")), "has checksum"),
        (with_tensor(outside("v", prepacked_0="1")), "has prepacked_0"),
        (with_tensor(outside("v", offset="-1")), "no number"),
        (with_tensor(outside("v", offset="1e3")), "no number"),
        (with_tensor(outside("v", length="9" * 19)), "no number"),
        (with_tensor(outside("v", length="\u0663")), "no number"),
        (with_tensor(outside("v", length=" 4")), "no number"),
        (doubled("offset"), "names its 'offset' twice"),
        (with_tensor(TensorProto(name="v", data_type=FLOAT, data_location=TensorProto.EXTERNAL)), "half inside"),
    ],
)  # fmt: skip
def test_what_is_not_a_sound_graph_is_refused(data: bytes, why: str) -> None:
    assert why in refusal(data)


def test_external_data_of_a_tensor_that_says_it_is_inside_is_refused() -> None:
    tensor = outside("v")
    tensor.data_location = TensorProto.DEFAULT
    assert "half inside and half outside" in refusal(with_tensor(tensor))


def nested(depth: int) -> bytes:
    graph = graph_of([add("x", "x", "y")])
    for _ in range(depth):
        graph = graph_of([helper.make_node("If", ["c"], ["y"], then_branch=graph)])
    return bytes(helper.make_model(graph).SerializeToString())


def test_subgraphs_nest_so_deep_and_no_deeper() -> None:
    assert len(onnx_file_from_bytes(nested(16), "g.onnx").nodes) == 17
    assert "nested more than 16 deep" in refusal(nested(17))


def test_thousands_of_nested_graphs_are_refused_without_recursion() -> None:
    data = b""
    for _ in range(2000):  # the lengths make this quadratic to write; 2,000 is twice Python's stack
        data = block(1, block(5, block(6, data)))
    assert "nested more than 16 deep" in refusal(block(7, data))


def test_millions_of_empty_nodes_are_refused_within_seconds() -> None:
    start = time.process_time()
    assert "more fields" in refusal(block(7, b"\x0a\x00" * 1_000_000))
    assert time.process_time() - start < 10


def test_a_file_beyond_protobufs_limit_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "huge.onnx"
    with path.open("wb") as file:
        file.truncate(1 << 31)
    with pytest.raises(EdgeVLError, match="an ONNX file has at most 2147483647") as caught:
        onnx_file_from_path(path, "huge.onnx")
    assert caught.value.code == "EVL-BUNDLE-GRAPH"


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.onnx").touch()
    with pytest.raises(EdgeVLError, match="no graph"):
        onnx_file_from_path(tmp_path / "empty.onnx", "empty.onnx")


def test_a_gigabyte_of_weights_inside_a_graph_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "big.onnx"
    size = 1 << 30
    tensor = TensorProto(name="w", data_type=TensorProto.INT8, dims=[size])
    head = b"\x4a" + varint(size)  # raw_data
    body = tensor.SerializeToString() + head
    graph = b"\x2a" + varint(len(body) + size) + body
    with path.open("wb") as file:
        file.write(block(8, b"\x10\x14") + b"\x3a" + varint(len(graph) + size) + graph)
        file.truncate(file.tell() + size)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert onnx_file_from_path(path, "big.onnx").tensors[0].nbytes == size
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 16 << 10


RICH = in_loop_in_if(outside("v", offset="4", length="24"))
RICH.functions.extend(in_function(inside("w")).functions)
RICH_BYTES = RICH.SerializeToString()


@settings(max_examples=600, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(RICH_BYTES) * 8 - 1)), min_size=1, max_size=6))
@example([(0,)])
def test_flipped_bits_are_read_or_refused(flips: list[tuple[int]]) -> None:
    data = bytearray(RICH_BYTES)
    for (bit,) in flips:
        data[bit >> 3] ^= 1 << (bit & 7)
    read_or_refuse(bytes(data))


def test_every_truncation_is_refused_or_loses_something_at_the_end() -> None:
    whole = onnx_file_from_bytes(RICH_BYTES, "g.onnx")
    assert all(read_or_refuse(RICH_BYTES[:size]) != whole for size in range(len(RICH_BYTES)))


@settings(max_examples=200, deadline=None)
@given(st.integers(0, len(RICH_BYTES)), st.integers(0, 30), st.binary(max_size=30))
def test_replaced_bytes_are_read_or_refused(start: int, size: int, noise: bytes) -> None:
    read_or_refuse(RICH_BYTES[:start] + noise + RICH_BYTES[start + size :])


def read_or_refuse(data: bytes) -> OnnxFile | None:
    """Anything else that is raised fails the test."""
    try:
        return onnx_file_from_bytes(data, "g.onnx")
    except EdgeVLError:
        return None


@settings(max_examples=300, deadline=None)
@given(st.lists(st.integers(0, len(RICH_BYTES) * 8 - 1), min_size=1, max_size=3))
def test_no_mutation_hides_a_tensor_from_us_that_onnx_sees(flips: list[int]) -> None:
    data = bytearray(RICH_BYTES)
    for bit in flips:
        data[bit >> 3] ^= 1 << (bit & 7)
    file = read_or_refuse(bytes(data))
    if file is None:
        return
    model = ModelProto()
    try:
        model.ParseFromString(bytes(data))
    except DecodeError:
        return  # onnx sees nothing at all
    seen = {
        pair.value for tensor in tensors_of(model) for pair in tensor.external_data if pair.key == "location"
    }
    assert {tensor.external.location for tensor in file.tensors if tensor.external} == seen


def tensors_of(message: object) -> list[TensorProto]:
    """All tensors below any message, by reflection: nothing in common with the reader under test."""
    if isinstance(message, TensorProto):
        return [message]
    found = []
    for descriptor, value in message.ListFields():  # type: ignore[attr-defined]
        if descriptor.message_type is not None:
            for one in [value] if hasattr(value, "ListFields") else value:
                found.extend(tensors_of(one))
    return found
