"""Integers put into a graph in memory, in the place of a few weights."""

from __future__ import annotations

import onnx_ir as ir

from calibration.blocks import Weight, packed_from_int4
from calibration.datafiles import array_of
from calibration.decision import Float, Int4, Int8, decision_for_shape
from calibration.initializer import initializer
from calibration.layer import Layer, check_names, input_of, layers_from_graph
from calibration.migration import Scaling, whole
from calibration.opset import INT4_OPSET, lift
from calibration.plan import Decisions
from calibration.quantgraph import Quantise
from calibration.wiring import Stored, Wiring
from edge_runtime.dialects import Dialect


def quantise_in_memory(
    model: ir.Model,
    where: str,
    dialect: Dialect,
    decisions: Decisions,
    quantise: Quantise,
    scaling: Scaling,
) -> None:
    """As `write_quantised_graph`, but that what stays lies where it was, and integers are in the model itself."""
    layers = layers_from_graph(model.graph)
    check_names(decisions, layers, where)
    stored: dict[ir.Node, Stored] = {}
    for layer in layers:
        how = decision_for_shape(decisions.get(layer.name, Float()), layer.rows, layer.columns)
        if not isinstance(how, Float):
            put_scale_aside(model.graph, layer, scaling)
            stored |= dict.fromkeys(layer.nodes, held(model.graph, layer, how, quantise, scaling))
    wiring = Wiring(model.graph, is_for_ort=dialect == "ort")
    for node in list(model.graph):
        if node in stored:
            wiring.lead(node, stored[node])
    if any(isinstance(each.how, Int4) for each in stored.values()):
        lift(model, INT4_OPSET, where)


def put_scale_aside(graph: ir.Graph, layer: Layer, scaling: Scaling) -> None:
    """Around the one product whose weight is scaled, so that all others can stay as they are."""
    name = str(layer.weight.name)
    rows, columns = scaling.rows.get(whole(name)), scaling.columns.get(name)
    for number, node in enumerate(layer.nodes):
        stem = f"{name}/{number}"
        if rows is not None:
            factors = constant(graph, layer, f"{stem}/rows", 1 / rows)
            before = product(f"{stem}/rows/Mul", input_of(node), factors)
            graph.insert_before(node, before)
            node.replace_input_with(0, before.outputs[0])
        if columns is not None:
            uses = list(node.outputs[0].uses())
            after = product(
                f"{stem}/columns/Mul", node.outputs[0], constant(graph, layer, f"{stem}/columns", columns)
            )
            graph.insert_after(node, after)
            for user, index in uses:
                user.replace_input_with(index, after.outputs[0])


def product(name: str, left: ir.Value, right: ir.Value) -> ir.Node:
    made = ir.node("Mul", [left, right], name=name)
    made.outputs[0].name = name
    return made


def constant(graph: ir.Graph, layer: Layer, name: str, factors: Weight) -> ir.Value:
    return initializer(graph, ir.Tensor(factors.astype(layer.dtype.numpy()), name=name))


def held(graph: ir.Graph, layer: Layer, how: Int4 | Int8, quantise: Quantise, scaling: Scaling) -> Stored:
    weight = scaling.applied(str(layer.weight.name), array_of(layer.tensor))
    made = quantise(layer.name, weight, how)
    shape, integers_name = made.integers.shape, f"{layer.name}.integers{layer.part}"
    integers: ir.TensorProtocol = ir.Tensor(made.integers, name=integers_name)
    if isinstance(how, Int4):
        packed = packed_from_int4(made.integers)
        integers = ir.PackedTensor(packed, ir.DataType.INT4, shape=shape, name=integers_name)
    scales = ir.Tensor(made.scales, name=f"{layer.name}.scales{layer.part}")
    del graph.initializers[str(layer.weight.name)]
    return Stored(layer.name, how, initializer(graph, integers), initializer(graph, scales))
