import onnx
import onnx_ir as ir
import pytest

from calibration.opset import WIDENED, lift, opset_of
from edge_runtime.dialects import GRAMMARS
from edge_runtime.errors import EdgeVLError


def model_of(operator: str, opset: int = 20) -> ir.Model:
    x = ir.val("x", ir.DataType.FLOAT, [1, 1])
    node = ir.node(operator, [x])
    graph = ir.Graph([x], node.outputs, nodes=[node], opset_imports={"": opset})
    return ir.Model(graph, ir_version=9)


def test_a_graph_is_lifted_with_the_format_that_knows_the_opset() -> None:
    model = model_of("Reshape")
    lift(model, 21, "decoder.onnx")
    assert (opset_of(model), model.ir_version) == (21, 10)


def test_a_graph_that_is_high_enough_stays_as_it_is() -> None:
    model = model_of("Attention", 24)
    lift(model, 21, "decoder.onnx")
    assert (opset_of(model), model.ir_version) == (24, 9)


def test_an_operator_that_means_something_else_afterwards_is_an_error() -> None:
    with pytest.raises(EdgeVLError, match=r"decoder\.onnx .* changed GroupNormalization") as caught:
        lift(model_of("GroupNormalization"), 21, "decoder.onnx")
    assert caught.value.code == "EVL-QUANT-OPSET"


def test_what_is_not_onnxs_own_is_left_to_its_engine() -> None:
    model = model_of("SimplifiedLayerNormalization")
    lift(model, 21, "decoder.onnx")
    assert opset_of(model) == 21


def signature(schema: onnx.defs.OpSchema) -> tuple[object, ...]:
    """All of an operator that a graph can see, but the types it takes."""
    inputs = [(port.name, port.option, port.is_homogeneous, port.min_arity) for port in schema.inputs]
    outputs = [(port.name, port.option) for port in schema.outputs]
    attributes = {
        name: (entry.type, entry.required, str(entry.default_value))
        for name, entry in schema.attributes.items()
    }
    return inputs, outputs, attributes


@pytest.mark.parametrize("operator", sorted(WIDENED))
def test_opset_21_only_added_types_to_the_operators_that_are_lifted(operator: str) -> None:
    old, new = (onnx.defs.get_schema(operator, opset, "") for opset in (20, 21))
    assert old.since_version != new.since_version
    assert signature(old) == signature(new)
    for before, after in zip(old.type_constraints, new.type_constraints, strict=True):
        assert set(before.allowed_type_strs) <= set(after.allowed_type_strs)


def test_every_other_operator_of_the_dialects_that_are_lifted_is_the_same_in_opset_21() -> None:
    operators = GRAMMARS["ort"].operators[""] | GRAMMARS["trt10"].operators[""]
    known = {name for name in operators - WIDENED if onnx.defs.has(name, 21, "")}
    changed = {
        name for name in known
        if onnx.defs.get_schema(name, 20, "").since_version != onnx.defs.get_schema(name, 21, "").since_version
    }  # fmt: skip
    assert changed == {"DequantizeLinear", "QuantizeLinear"}


@pytest.mark.parametrize("operator", ["DequantizeLinear", "QuantizeLinear"])
def test_what_opset_21_added_to_quantisation_does_nothing_unless_it_is_given(operator: str) -> None:
    old, new = (onnx.defs.get_schema(operator, opset, "") for opset in (20, 21))
    added = {name: new.attributes[name].default_value.i for name in set(new.attributes) - set(old.attributes)}
    assert set(added.values()) == {0}
    assert signature(old)[:2] == signature(new)[:2]
