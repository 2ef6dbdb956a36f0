"""Who gives to whom: what scales channels, or makes them, and the layers that alone read them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import onnx_ir as ir

from calibration.datafiles import sizes_of
from calibration.layer import FLOATS, Layer, layers_from_graph
from edge_runtime.manifest import PAST

NORMS = ("LayerNormalization", "RMSNormalization", "SimplifiedLayerNormalization")
NORM_WEIGHT = ".weight"
ATTENTIONS = ("Attention", "GroupQueryAttention", "MultiHeadAttention")
# Inputs of operators that hand on every channel of a layer's result by itself, through attention as its values.
HANDED: Mapping[str, tuple[int, ...]] = {
    "Reshape": (0,), "Transpose": (0,), "Cast": (0,), "Identity": (0,), "Gather": (0,),
    "TensorScatter": (1,), "MatMul": (1,), "Mul": (0, 1), **dict.fromkeys(ATTENTIONS, (2,)),
}  # fmt: skip
VALUE_OUTPUTS = (0, 2)  # of an attention: its result, and the cache of values

Hands = Callable[[ir.Node, int], bool]


@dataclass(frozen=True)
class Pair:
    """A norm or a layer whose channels the readers, and nobody else, take."""

    giver: str  # `blocks.0.norm1`, `blocks.0.up`
    divided: tuple[str, ...]  # tensors whose last axis is those channels
    readers: tuple[str, ...]  # layers
    is_norm: bool


def pairs_from_graph(graph: ir.Graph) -> list[Pair]:
    """In the order in which readers' weights come. What gives to anything besides layers is left alone."""
    layers = layers_from_graph(graph)
    found = [*pairs_of_norms(graph, layers), *pairs_of_layers(graph, layers)]
    places = {layer.name: place for place, layer in reversed(list(enumerate(layers)))}
    return sorted(found, key=lambda pair: places[pair.readers[0]])


def pairs_of_norms(graph: ir.Graph, layers: tuple[Layer, ...]) -> Iterator[Pair]:
    for name, value in graph.initializers.items():
        tensor = value.const_value
        if tensor is None or tensor.dtype not in FLOATS or len(tensor.shape) != 1:
            continue
        node, width = scaled_by(value), sizes_of(tensor)[0]
        if node is None or not name.endswith(NORM_WEIGHT):
            continue
        readers = readers_of(graph, node.outputs[0], layers, width, partial(keeps, width))
        bias = node.inputs[2] if node.op_type in NORMS and len(node.inputs) > 2 else None
        if readers and (bias is None or is_own(graph, bias)):
            divided = (name,) if bias is None else (name, str(bias.name))
            yield Pair(name.removesuffix(NORM_WEIGHT), divided, readers, is_norm=True)


def scaled_by(value: ir.Value) -> ir.Node | None:
    """The one node that multiplies the last axis with this vector: a norm, or the last step of one that is spelled out."""
    uses = list(value.uses())
    if len(uses) != 1:
        return None
    node, index = uses[0]
    if node.op_type in NORMS:
        axis = node.attributes.get("axis")
        return node if index == 1 and (axis is None or axis.as_int() == -1) else None
    return node if node.op_type == "Mul" else None


def is_own(graph: ir.Graph, value: ir.Value) -> bool:
    return value.name in graph.initializers and len(list(value.uses())) == 1


def keeps(width: int, node: ir.Node, _: int) -> bool:
    """Whether channels are still the last axis, each by itself, after this node."""
    if node.op_type in ("Cast", "Identity"):
        return True
    if node.op_type == "Transpose":
        order = node.attributes.get_ints("perm", [])
        return bool(order) and order[-1] == len(order) - 1
    if node.op_type == "Reshape":
        return last_of(node.inputs[1]) == width
    if node.op_type == "Pad":  # with zeros, which have no scale
        mode, filled = node.attributes.get("mode"), node.inputs[2] if len(node.inputs) > 2 else None
        is_constant = mode is None or mode.as_string() == "constant"
        return is_constant and (filled is None or last_of(filled) == 0)
    return False


def last_of(value: ir.Value | None) -> float | None:
    """The last number of a tensor that is known, be it only that one."""
    if value is None:
        return None
    if value.const_value is not None:
        return float(np.asarray(value.const_value.numpy()).reshape(-1)[-1])
    node = value.producer()
    return last_of(node.inputs[-1]) if node is not None and node.op_type == "Concat" else None


def pairs_of_layers(graph: ir.Graph, layers: tuple[Layer, ...]) -> Iterator[Pair]:
    for layer in layers:
        if layer.part or len(layer.nodes) != 1:
            continue
        readers = readers_of(graph, layer.nodes[0].outputs[0], layers, layer.columns, hands_on)
        if readers:
            yield Pair(layer.name, (str(layer.weight.name),), readers, is_norm=False)


def hands_on(node: ir.Node, index: int) -> bool:
    if node.op_type == "Where":  # what is chosen instead must be of the same scale
        other = node.inputs[3 - index] if index else None
        return other is not None and str(other.name).startswith(PAST)
    return index in HANDED.get(node.op_type, ())


def readers_of(
    graph: ir.Graph, start: ir.Value, layers: tuple[Layer, ...], width: int, hands: Hands
) -> tuple[str, ...]:
    """The layers that read `start`; none where anything else does, or where one of them reads something else too."""
    reached = products_reached(graph, start, {node for layer in layers for node in layer.nodes}, hands)
    names = tuple(dict.fromkeys(layer.name for layer in layers if reached.intersection(layer.nodes)))
    parts = [layer for layer in layers if layer.name in names]
    is_whole = all(layer.rows == width and reached.issuperset(layer.nodes) for layer in parts)
    return names if is_whole else ()


def products_reached(graph: ir.Graph, start: ir.Value, products: set[ir.Node], hands: Hands) -> set[ir.Node]:
    """Where `start` ends up, through nodes that hand it on; nothing where it ends up anywhere else as well."""
    reached, handed, left = set[ir.Node](), set[ir.Node](), [start]
    while left:
        value = left.pop()
        if value in graph.outputs and not is_cache(value):
            return set()
        for node, index in value.uses():
            if node in products and index == 0:
                reached.add(node)
            elif node not in handed and hands(node, index):  # twice into one node: x * x is not x, scaled
                handed.add(node)
                left += handed_outputs(node)
            else:
                return set()
    return reached


def handed_outputs(node: ir.Node) -> list[ir.Value]:
    if node.op_type in ATTENTIONS:
        return [node.outputs[index] for index in VALUE_OUTPUTS if index < len(node.outputs)]
    return list(node.outputs)


def is_cache(value: ir.Value) -> bool:
    """Values that the graph writes for nobody but itself, with the scale it reads them with."""
    name = str(value.name)
    return name.startswith("present.") and name.endswith(".value")
