"""The nodes that lead integers into a layer's product: DequantizeLinear, and Q/DQ on its input."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from calibration.blocks import scales_from_steps
from calibration.decision import Int4, Int8
from calibration.initializer import initializer
from calibration.layer import input_of

ZERO_NAME = "input_zero"
INT8_REACH = 128  # the largest magnitude of a byte with a sign
UINT8_MIDDLE = 128  # stands for zero where bytes have no sign


@dataclass(frozen=True, eq=False)
class Stored:
    """A layer whose weight is on disk as integers and scales."""

    name: str
    how: Int4 | Int8
    integers: ir.Value  # (K, N), INT4 or INT8
    scales: ir.Value  # (K / block, N) or (N,)

    @property
    def dtype(self) -> ir.DataType:
        """The type of the product in the graph as it was."""
        assert self.scales.dtype is not None, self.name
        return self.scales.dtype


class Wiring:
    """Rewires the products of one graph, in the order of its nodes.

    The same integers and scales everywhere; `is_for_ort` spells two things as ONNX Runtime's CPU kernels want them:

    * Products of fp16 layers are made in fp32 between casts. Up to 1.23 there are no fused 4-bit and 8-bit products
      in fp16, and weights were unpacked anew at every step (1024x1024, one row: 6 ms against 0.03 ms). The
      scales stay fp16 on disk; the cast on them is folded when the graph is opened.
    * 8-bit activations are stored as uint8 around a zero point of 128. From int8 it makes the same by itself, but
      not where one input feeds several layers, and there it fuses nothing. TensorRT takes int8 and no other.
    """

    def __init__(self, graph: ir.Graph, is_for_ort: bool) -> None:
        self._graph = graph
        self._is_for_ort = is_for_ort
        self._values: dict[tuple[object, ...], ir.Value] = {}  # what several layers share
        self._names: dict[str, int] = {}

    def lead(self, node: ir.Node, layer: Stored) -> None:
        """Makes `node`, a product with this layer's float weight, one with its integers."""
        is_wide = self._is_for_ort and layer.dtype == ir.DataType.FLOAT16
        dtype = ir.DataType.FLOAT if is_wide else layer.dtype
        x, weight = input_of(node), self._weight(node, layer, dtype)
        if is_wide:
            x = self._cast(node, x, f"{layer.name}/input/Cast", dtype)
        if isinstance(layer.how, Int8) and layer.how.activation_scale is not None:
            x = self._rounded(node, x, layer, layer.how.activation_scale, dtype)
        if is_wide:
            self._replace_widely(node, layer, x, weight)
        else:
            node.replace_input_with(0, x)
            node.replace_input_with(1, weight)

    def _weight(self, node: ir.Node, layer: Stored, dtype: ir.DataType) -> ir.Value:
        key = ("weight", layer.integers)
        if key not in self._values:
            scales = layer.scales
            if dtype != layer.dtype:
                scales = self._cast(node, scales, f"{layer.name}/scales/Cast", dtype)
            how = {"axis": 0, "block_size": layer.how.block} if isinstance(layer.how, Int4) else {"axis": 1}
            name = f"{layer.name}/weight/DequantizeLinear"
            self._values[key] = self._before(node, "DequantizeLinear", [layer.integers, scales], name, how)
        return self._values[key]

    def _rounded(
        self, node: ir.Node, x: ir.Value, layer: Stored, scale: float, dtype: ir.DataType
    ) -> ir.Value:
        """`x` through 8 bits and back. One pair serves all layers with the same input and scale."""
        key = ("rounded", x, scale)
        if key not in self._values:
            step, zero = self._scale(layer, scale, dtype), self._zero()
            stem = f"{layer.name}/input"
            # The zero point gives the integers their type: with `output_dtype` beside it ONNX Runtime fails.
            small = self._before(node, "QuantizeLinear", [x, step, zero], f"{stem}/QuantizeLinear")
            wide = self._before(node, "DequantizeLinear", [small, step, zero], f"{stem}/DequantizeLinear")
            self._values[key] = wide
        return self._values[key]

    def _scale(self, layer: Stored, scale: float, dtype: ir.DataType) -> ir.Value:
        # Rounded to the layer's own type first: the integers are the same in every dialect.
        step = scales_from_steps(scale, layer.dtype.numpy(), INT8_REACH).astype(dtype.numpy())
        return self._constant(f"{layer.name}.input_scale", step)

    def _zero(self) -> ir.Value:
        if ("zero",) not in self._values:
            zero = np.array(UINT8_MIDDLE, np.uint8) if self._is_for_ort else np.array(0, np.int8)
            self._values[("zero",)] = self._constant(ZERO_NAME, zero)
        return self._values[("zero",)]

    def _constant(self, name: str, array: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> ir.Value:
        return initializer(self._graph, ir.Tensor(np.asarray(array), name=self._unique(name)))

    def _cast(self, node: ir.Node, x: ir.Value, name: str, dtype: ir.DataType) -> ir.Value:
        key = ("cast", x, dtype)
        if key not in self._values:
            self._values[key] = self._before(node, "Cast", [x], name, {"to": dtype.value})
        return self._values[key]

    def _before(
        self,
        node: ir.Node,
        operator: str,
        inputs: list[ir.Value],
        name: str,
        attributes: dict[str, int] | None = None,
    ) -> ir.Value:
        made = self._made(operator, inputs, name, attributes)
        self._graph.insert_before(node, made)
        return made.outputs[0]

    def _made(
        self, operator: str, inputs: list[ir.Value], name: str, attributes: dict[str, int] | None = None
    ) -> ir.Node:
        unique = self._unique(name)
        made = ir.node(operator, inputs, attributes or {}, name=unique)
        made.outputs[0].name = unique
        return made

    def _replace_widely(self, node: ir.Node, layer: Stored, x: ir.Value, weight: ir.Value) -> None:
        product = self._made("MatMul", [x, weight], f"{layer.name}/product/MatMul")
        product.name = node.name
        cast = self._made(
            "Cast", [product.outputs[0]], f"{layer.name}/product/Cast", {"to": layer.dtype.value}
        )
        ir.convenience.replace_nodes_and_values(
            self._graph, node, [node], [product, cast], node.outputs, cast.outputs
        )

    def _unique(self, name: str) -> str:
        count = self._names[name] = self._names.get(name, 0) + 1
        return name if count == 1 else f"{name}.{count}"
