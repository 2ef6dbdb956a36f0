"""The layers of a graph that can be quantised: products of something with a stored matrix."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import onnx_ir as ir

from calibration.datafiles import sizes_of
from edge_runtime.errors import EdgeVLError, listed

WEIGHT_NAME = re.compile(r"(?P<layer>.+)\.weight(?P<part>(_\d+)?)")
FLOATS = (ir.DataType.FLOAT, ir.DataType.FLOAT16)


@dataclass(frozen=True, eq=False)
class Layer:
    """`x @ weight`, named as its module is: `blocks.3.q`.

    A head that is split by columns is several of these, `head` with the parts `_0`, `_1` and so on: columns are
    quantised independently of each other, so they come to the same integers as the whole. There is one node, but
    where a weight is shared.
    """

    name: str
    part: str
    weight: ir.Value  # (K, N)
    nodes: tuple[ir.Node, ...]

    @property
    def tensor(self) -> ir.TensorProtocol:
        assert self.weight.const_value is not None, self.name
        return self.weight.const_value

    @property
    def rows(self) -> int:
        return sizes_of(self.tensor)[0]

    @property
    def columns(self) -> int:
        return sizes_of(self.tensor)[1]

    @property
    def dtype(self) -> ir.DataType:
        return self.tensor.dtype


def layers_from_graph(graph: ir.Graph) -> tuple[Layer, ...]:
    """In the order of the weights in the graph."""
    found = []
    for name, value in graph.initializers.items():
        nodes = tuple(dict.fromkeys(node for node, _ in value.uses()))
        match = WEIGHT_NAME.fullmatch(name)
        if match and nodes and is_matrix(value) and all(is_product(node, value) for node in nodes):
            found.append(Layer(match["layer"], match["part"], value, nodes))
    return tuple(found)


def is_matrix(value: ir.Value) -> bool:
    tensor = value.const_value
    return tensor is not None and tensor.dtype in FLOATS and len(tensor.shape) == 2


def is_product(node: ir.Node, weight: ir.Value) -> bool:
    return node.op_type == "MatMul" and node.domain == "" and node.inputs[1] is weight is not node.inputs[0]


def input_of(node: ir.Node) -> ir.Value:
    value = node.inputs[0]
    assert value is not None, node.name
    return value


def check_names(names: Iterable[str], layers: Iterable[Layer], where: str) -> None:
    """EVL-QUANT-LAYER lists names that no layer has."""
    known = list(dict.fromkeys(layer.name for layer in layers))
    strangers = sorted(set(names).difference(known))
    if strangers:
        what = f"{where} has no layer {listed(strangers)}"
        why = f"its layers are {listed(known)}" if known else "it has no layer that can be quantised"
        raise EdgeVLError("EVL-QUANT-LAYER", what, why, "correct the recipe")
