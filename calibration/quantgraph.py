"""A graph written anew with the weights of chosen layers as integers; the rest is copied byte for byte."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt
import onnx_ir as ir

from calibration.blocks import (
    Integers,
    Quantised,
    Weight,
    packed_from_int4,
    quantised_from_weight,
    sqnr_db_of,
)
from calibration.datafiles import DataFiles, array_of
from calibration.decision import Decision, Float, Int4, Int8, decision_for_shape
from calibration.initializer import initializer
from calibration.layer import Layer, check_names, layers_from_graph
from calibration.migration import Scaling
from calibration.opset import INT4_OPSET, lift, opset_of
from calibration.wiring import Stored, Wiring
from edge_runtime.dialects import Dialect

Quantise = Callable[[str, Weight, Int4 | Int8], Quantised]  # the layer's name, and its weight or a part of it
Tick = Callable[[int], None]  # bytes of the source's weights
Change = Callable[[ir.Graph], None]

UNSCALED = Scaling()
PACK_ELEMENTS = 8 << 20  # even, so that no byte is shared by two pieces


@dataclass(frozen=True)
class Outcome:
    """What became of one layer, or of one part of a layer that is split."""

    layer: str
    part: str
    decision: Decision
    source_bytes: int
    bytes: int  # integers and scales
    sqnr_db: float | None = (
        None  # of the weight: its power over that of what rounding lost; None where nothing was
    )
    is_migrated: bool = False  # whether it reads its input with another scale than before


@dataclass(frozen=True)
class QuantisedGraph:
    """What was written."""

    opset: int
    outcomes: tuple[Outcome, ...]  # every layer that could have been quantised, in the graph's order


def silent(count: int) -> None:
    """For callers that nobody watches."""


def unchanged(graph: ir.Graph) -> None:
    """For graphs in which only weights become integers."""


def write_quantised_graph(
    source: Path,
    target: Path,
    dialect: Dialect,
    decisions: Mapping[str, Decision],
    quantise: Quantise = quantised_from_weight,
    tick: Tick = silent,
    scaling: Scaling = UNSCALED,
    change: Change = unchanged,
) -> QuantisedGraph:
    """Writes the graph `source` to `target`, in another folder, its data files beside it.

    `decisions` are by layer name (`blocks.3.q`); layers it does not name stay float, names that no layer has are
    an EdgeVLError. A layer whose shape does not allow what was asked for gets the nearest thing that it does
    allow, and its outcome says so. `scaling` is applied before anything is rounded, to what stays float too; `change`
    is made to the graph in the end. One weight at a time is in memory, as integers. The same input gives the same bytes.
    """
    assert not target.exists() and source.parent != target.parent, "a stage writes beside, never over"
    model = ir.load(source)
    layers = layers_from_graph(model.graph)
    check_names(decisions, layers, source.name)
    chosen = {
        layer.weight: (
            layer,
            decision_for_shape(decisions.get(layer.name, Float()), layer.rows, layer.columns),
        )
        for layer in layers
    }
    with DataFiles(target) as files:
        stored, outcomes = store(model.graph, chosen, files, quantise, tick, scaling)
    wire(model.graph, stored, is_for_ort=dialect == "ort")
    if any(isinstance(layer.how, Int4) for layer in stored.values()):
        lift(model, INT4_OPSET, source.name)
    change(model.graph)
    ir.save(model, target)
    return QuantisedGraph(opset_of(model), tuple(outcomes))


def store(
    graph: ir.Graph,
    chosen: Mapping[ir.Value, tuple[Layer, Decision]],
    files: DataFiles,
    quantise: Quantise,
    tick: Tick,
    scaling: Scaling,
) -> tuple[dict[ir.Node, Stored], list[Outcome]]:
    """Moves every tensor to the new data files; tells which nodes are to take integers."""
    stored: dict[ir.Node, Stored] = {}
    outcomes = []
    for value in list(graph.initializers.values()):
        tensor = value.const_value
        assert tensor is not None, value.name
        layer, decision = chosen.get(value, (None, Float()))
        if layer is not None and not isinstance(decision, Float):
            entry, size, sqnr_db = store_layer(graph, layer, decision, files, quantise, scaling)
            stored |= dict.fromkeys(layer.nodes, entry)
        else:
            value.const_value, size, sqnr_db = stored_float(tensor, files, scaling), tensor.nbytes, None
        if layer is not None:
            is_migrated = scaling.is_migrated(layer.name)
            outcomes.append(
                Outcome(layer.name, layer.part, decision, tensor.nbytes, size, sqnr_db, is_migrated)
            )
        tick(tensor.nbytes)
    return stored, outcomes


def stored_float(tensor: ir.TensorProtocol, files: DataFiles, scaling: Scaling) -> ir.TensorProtocol:
    """Small tensors may lie in the graph itself, and stay there."""
    name = str(tensor.name)
    if not scaling.is_scaled(name):
        return files.copy(tensor) if isinstance(tensor, ir.ExternalTensor) else tensor
    array = scaling.applied(name, array_of(tensor))
    if isinstance(tensor, ir.ExternalTensor):
        return files.add(name, tensor.dtype, array.shape, [array])
    return ir.Tensor(array, name=name)


def store_layer(
    graph: ir.Graph,
    layer: Layer,
    how: Int4 | Int8,
    files: DataFiles,
    quantise: Quantise,
    scaling: Scaling,
) -> tuple[Stored, int, float | None]:
    source = scaling.applied(str(layer.weight.name), array_of(layer.tensor))
    quantised = quantise(layer.name, source, how)
    block = how.block if isinstance(how, Int4) else None
    assert quantised.integers.shape == (layer.rows, layer.columns) and quantised.block == block
    dtype = ir.DataType.INT4 if isinstance(how, Int4) else ir.DataType.INT8
    shape, scales = quantised.integers.shape, quantised.scales
    pieces = packed_pieces(quantised.integers) if isinstance(how, Int4) else iter([quantised.integers])
    weight = files.add(f"{layer.name}.weight{layer.part}", dtype, shape, pieces)
    scale = files.add(f"{layer.name}.scales{layer.part}", layer.dtype, scales.shape, [scales])
    del graph.initializers[layer.weight.name or ""]
    integers, steps = initializer(graph, weight), initializer(graph, scale)
    size = (weight.length or 0) + (scale.length or 0)
    return Stored(layer.name, how, integers, steps), size, sqnr_db_of(source, quantised)


def packed_pieces(integers: Integers) -> Iterator[npt.NDArray[Any]]:
    flat = integers.reshape(-1)
    for start in range(0, flat.size, PACK_ELEMENTS):
        yield packed_from_int4(flat[start : start + PACK_ELEMENTS])


def wire(graph: ir.Graph, stored: Mapping[ir.Node, Stored], is_for_ort: bool) -> None:
    wiring = Wiring(graph, is_for_ort)
    for node in list(graph):
        if node in stored:
            wiring.lead(node, stored[node])
