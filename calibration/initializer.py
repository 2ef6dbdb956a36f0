"""Numbers that a graph holds."""

from __future__ import annotations

import onnx_ir as ir

from calibration.datafiles import sizes_of


def initializer(graph: ir.Graph, tensor: ir.TensorProtocol) -> ir.Value:
    """The value that stands for them, under the tensor's own name."""
    value = ir.Value(
        name=tensor.name,
        shape=ir.Shape(sizes_of(tensor)),
        type=ir.TensorType(tensor.dtype),
        const_value=tensor,
    )
    graph.register_initializer(value)
    return value
