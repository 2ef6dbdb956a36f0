"""The operator set of a graph, and raising it without changing what the graph means."""

from __future__ import annotations

import onnx
import onnx_ir as ir

from edge_runtime.errors import EdgeVLError, listed

INT4_OPSET = 21  # the first with INT4 and with blocks
LEAST_IR_VERSION = 10  # the first that knows it

# What opset 21 changed in these is the list of types they take, which grew; a graph that was right with 20 means
# the same with 21. A test holds this against ONNX's own schemas for every operator of every dialect.
WIDENED = frozenset(
    "Cast Constant ConstantOfShape Identity Pad Reshape Shape Squeeze Transpose Unsqueeze".split()
)


def opset_of(model: ir.Model) -> int:
    opset = model.opset_imports.get("")
    assert opset is not None, "a bundle's graph names its operator set"
    return opset


def lift(model: ir.Model, opset: int, where: str) -> None:
    """Raises the opset, or an EdgeVLError if that would give an operator another meaning."""
    if opset_of(model) >= opset:
        return
    used = {node.op_type for node in model.graph.all_nodes() if node.domain == ""}
    changed = {
        name for name in used - WIDENED if version_of(name, opset_of(model)) != version_of(name, opset)
    }
    changed -= {"DequantizeLinear", "QuantizeLinear"}  # they gained attributes that do nothing unless given
    if changed:
        what, why = f"{where} cannot have INT4 weights", f"opset {opset} changed {listed(sorted(changed))}"
        raise EdgeVLError("EVL-QUANT-OPSET", what, why, "choose INT8 or float for this graph")
    model.graph.opset_imports[""] = opset
    model.ir_version = max(model.ir_version or 0, LEAST_IR_VERSION)


def version_of(operator: str, opset: int) -> int:
    """The opset that last changed the operator; 0 for what is not ONNX's own, as ORT's SimplifiedLayerNormalization."""
    if not onnx.defs.has(operator, opset, ""):
        return 0
    return onnx.defs.get_schema(operator, opset, "").since_version
