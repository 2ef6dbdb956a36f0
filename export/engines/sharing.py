"""How a plan holds a graph's weights: once for all profiles or once each, and as what they are multiplied."""

from __future__ import annotations

from collections.abc import Mapping

from edge_runtime.onnxfile import Node, OnnxFile

PRODUCT, UNPACKING = "MatMul", "DequantizeLinear"
LAYERS = "blocks."  # what the names of layers begin with; the head's do not


def has_shared_weights(graph: OnnxFile) -> bool:
    """Whether most bytes of its products' weights are integers that are multiplied with floats.

    Those TensorRT stores as they are, once a plan. The weights of float products and of 8-bit ones it lays out anew
    for the kernels of each profile (the tests measure both), except those of the head.
    """
    sizes = {tensor.name: tensor.nbytes for tensor in graph.initializers}
    makers = {name: node for node in graph.nodes for name in node.outputs}
    bytes_if_shared = {True: 0, False: 0}
    for node in graph.nodes:
        if node.op_type == PRODUCT:
            left, right = (unpacked_from(makers, name) for name in node.inputs[:2])
            is_shared = right is not None and left is None
            # A product of two activations has no weight.
            bytes_if_shared[is_shared] += sizes.get(right or node.inputs[1], 0)
    return bytes_if_shared[True] > bytes_if_shared[False]


def has_byte_layers(graph: OnnxFile) -> bool:
    """Whether a layer's 8-bit weight is multiplied with floats: unpacked on the way, and not with 8-bit activations."""
    kinds = {tensor.name: tensor.dtype for tensor in graph.initializers}
    makers = {name: node for node in graph.nodes for name in node.outputs}
    for node in graph.nodes:
        if node.op_type == PRODUCT and node.name.startswith(LAYERS):
            left, right = (unpacked_from(makers, name) for name in node.inputs[:2])
            if left is None and kinds.get(right or "") == "int8":
                return True
    return False


def unpacked_from(makers: Mapping[str, Node], name: str) -> str | None:
    """The integers that these floats are unpacked from: a weight, or an activation that was rounded before."""
    maker = makers.get(name)
    return maker.inputs[0] if maker is not None and maker.op_type == UNPACKING else None
