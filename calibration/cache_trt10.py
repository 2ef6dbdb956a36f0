"""The cache of bytes in plain operators: what the `trt10` spelling chooses between are multiples of steps."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from calibration.blocks import Floats, Weight, scales_from_steps
from calibration.decision import INT8_LIMIT
from calibration.initializer import initializer

CHOICE = "Where"  # between rows of this call and those of the cache
NEW, OLD = 1, 2  # among its inputs
UNIT_NAME, ZERO_NAME = "cache_unit", "cache_zero"


class ByteCache:
    """Rewrites one cache, (B, kvH, C, hd), that a choice writes.

    Its rows are divided by their steps before the choice and multiplied with them after it, and QuantizeLinear and
    DequantizeLinear between round to whole numbers: their scales have one axis, steps have two, heads and channels. What
    was a byte before the choice is the same byte after it.
    """

    def __init__(self, graph: ir.Graph, choice: ir.Node, name: str, steps: Floats) -> None:
        past = choice.inputs[OLD]
        assert past is not None and past.dtype is not None and past.shape is not None, name
        self._graph, self._choice, self._name, self._past = graph, choice, name, past
        self._floats = past.dtype
        heads, width = past.shape[1], past.shape[3]
        assert isinstance(heads, int) and isinstance(width, int) and steps.size == heads * width, name
        array = divisors_from_steps(steps, self._floats.numpy()).reshape(heads, 1, width)
        self._steps = self._shared(f"{name}.cache_scales", array)
        self._unit = self._shared(UNIT_NAME, np.ones((), array.dtype))
        self._zero = self._shared(ZERO_NAME, np.zeros((), np.int8))

    def narrow(self) -> None:
        chosen, new = self._choice.outputs[0], self._choice.inputs[NEW]
        assert new is not None, self._name
        readers, title = list(chosen.uses()), chosen.name
        self._choice.replace_input_with(NEW, self._put("Div", [new, self._steps], "new/Div"))
        self._choice.replace_input_with(OLD, self._linear("DequantizeLinear", self._past, "past"))
        self._past.dtype = ir.DataType.INT8
        chosen.name = f"{self._name}.cache/{CHOICE}"
        written = self._linear("QuantizeLinear", chosen, "present", self._choice)
        written.name, written.dtype, written.shape = title, ir.DataType.INT8, chosen.shape
        wide = self._linear("DequantizeLinear", written, "present", written.producer())
        read = self._put("Mul", [wide, self._steps], "present/Mul", wide.producer())
        for node, place in readers:
            node.replace_input_with(place, read)
        for place, output in enumerate(self._graph.outputs):
            if output is chosen:
                self._graph.outputs[place] = written

    def _linear(self, operator: str, x: ir.Value, where: str, after: ir.Node | None = None) -> ir.Value:
        return self._put(operator, [x, self._unit, self._zero], f"{where}/{operator}", after)

    def _put(
        self, operator: str, inputs: list[ir.Value], name: str, after: ir.Node | None = None
    ) -> ir.Value:
        """Before the choice, or after another node."""
        node = ir.node(operator, inputs, name=f"{self._name}.cache/{name}")
        node.outputs[0].name = node.name
        if after is None:
            self._graph.insert_before(self._choice, node)
        else:
            self._graph.insert_after(after, node)
        return node.outputs[0]

    def _shared(self, name: str, array: npt.NDArray[np.generic]) -> ir.Value:
        if name not in self._graph.initializers:
            initializer(self._graph, ir.Tensor(array, name=name))
        return self._graph.initializers[name]


def divisors_from_steps(steps: Floats, dtype: np.dtype[np.floating]) -> Weight:
    """In the cache's own type. None is below its normal numbers: compilers multiply with the reciprocal, which must be
    a number as well."""
    least = np.float32(np.finfo(dtype).smallest_normal)
    return scales_from_steps(np.maximum(steps, least), dtype, INT8_LIMIT)
