"""Whether the profiles of one plan share a graph's weights, or hold them once each."""

from __future__ import annotations

from collections.abc import Mapping

from edge_runtime.onnxfile import Node, OnnxFile

PRODUCT, UNPACKING = "MatMul", "DequantizeLinear"


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


def unpacked_from(makers: Mapping[str, Node], name: str) -> str | None:
    """The integers that these floats are unpacked from: a weight, or an activation that was rounded before."""
    maker = makers.get(name)
    return maker.inputs[0] if maker is not None and maker.op_type == UNPACKING else None
