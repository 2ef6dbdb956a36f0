"""The KV cache in 8 bits: how far each channel of keys and values reaches, and a graph that keeps them so."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx_ir as ir

from calibration.blocks import Floats
from calibration.cache_trt10 import CHOICE, OLD, ByteCache
from calibration.decision import INT8_LIMIT
from calibration.initializer import initializer
from calibration.migration import Scaling
from calibration.minmax import appended, constant
from calibration.session import Feeds, Session
from calibration.soundness import called, error_in_graph
from edge_runtime.bundle import Bundle
from edge_runtime.dialects import Dialect
from edge_runtime.manifest import PAST, PRESENT, GraphEntry, Port
from edge_runtime.progress import Progress

BITS = 8
OPERATOR = "GroupQueryAttention"
PAST_PLACES = {"key": 3, "value": 4}  # among its inputs
SCALE_PLACES = {"key": 12, "value": 13}
# That can carry it: TensorRT's update in place, which `trt` is for, takes caches of floats and no others.
DIALECTS: tuple[Dialect, ...] = ("ort", "trt10")
PRESENT_NAME = re.compile(r"present\.(?P<layer>\d+)\.(?P<kind>key|value)")


@dataclass(frozen=True, eq=False)
class CacheScales:
    """One step for each channel of each head, (kvH * hd,), by cache: `3.key`."""

    steps: Mapping[str, Floats]

    def __post_init__(self) -> None:
        assert all(np.isfinite(each).all() and (each > 0).all() for each in self.steps.values())

    def scaled(self, scaling: Scaling) -> CacheScales:
        """Of values that were divided by what moved to the layer after attention."""

        def steps(name: str, each: Floats) -> Floats:
            layer, kind = name.split(".")
            factors = scaling.columns.get(f"blocks.{layer}.v.weight") if kind == "value" else None
            return each if factors is None else each / factors

        return CacheScales({name: steps(name, each) for name, each in self.steps.items()})


def cache_scales(
    path: Path, feeds: Sequence[Feeds], threads: int, progress: Progress, samples: Sequence[str] = ()
) -> CacheScales:
    """From the keys and values of whole answers, each from an empty cache; `samples` are names, for errors."""
    model = ir.load(path)
    names = watch_caches(model.graph)
    session = Session(model, path.parent, threads, path.stem)
    needed = session.needed
    largest = {name: np.zeros((1, 1), np.float32) for name in names}
    for done, sample in enumerate(feeds):
        progress("measuring the cache", done, len(feeds))
        found = session.run(None, {name: each for name, each in sample.items() if name in needed})
        for name, maxima in zip(names, found, strict=True):
            if not np.isfinite(maxima).all():
                raise error_in_graph(path, called(samples, done), f"the cache {name}")
            largest[name] = np.maximum(largest[name], maxima)
    return CacheScales({name: steps_from_maxima(maxima) for name, maxima in largest.items()})


def watch_caches(graph: ir.Graph) -> list[str]:
    """The graph gives max |x| over positions, (kvH, hd), of every cache and nothing else; tells whose they are."""
    caches = [value for value in graph.outputs if PRESENT_NAME.fullmatch(value.name or "")]
    graph.outputs.clear()
    axes = constant(graph, "cache_axes", [0, 2])
    for value in caches:
        magnitude = appended(graph, "Abs", [value], {}, f"{value.name}/Abs")
        wide = appended(graph, "Cast", [magnitude], {"to": ir.DataType.FLOAT.value}, f"{value.name}/Cast")
        peaks = appended(graph, "ReduceMax", [wide, axes], {"keepdims": 0}, f"{value.name}/ReduceMax")
        peaks.type = ir.TensorType(ir.DataType.FLOAT)
        graph.outputs.append(peaks)
    return [str(value.name)[len(PRESENT) :] for value in caches]


def steps_from_maxima(maxima: Floats) -> Floats:
    """A channel that was zero in every sample takes the step of the head's smallest other one: never zero."""
    flat = maxima.astype(np.float32).reshape(-1)
    some = flat[flat > 0]
    least = float(some.min()) if some.size else 1.0
    reach: Floats = np.where(flat > 0, flat, least).astype(np.float32)
    return reach / np.float32(INT8_LIMIT)


def narrow_caches(graph: ir.Graph, scales: CacheScales) -> None:
    """Rewrites a graph of `DIALECTS`: what is written into its caches is rounded, and read with their scales."""
    for node in list(graph):
        if node.op_type == OPERATOR:
            narrow_attention(graph, node, scales)
        elif node.op_type == CHOICE and (name := cache_name(node.inputs[OLD])):
            ByteCache(graph, node, name, scales.steps[name]).narrow()
    caches = [each for each in graph.inputs if cache_name(each)]
    assert caches and all(each.dtype == ir.DataType.INT8 for each in caches), "a cache stayed as it was"


def cache_name(value: ir.Value | None) -> str:
    """`3.key`; empty for what is no cache from before this call."""
    name = "" if value is None else str(value.name)
    return name[len(PAST) :] if name.startswith(PAST) else ""


def narrow_attention(graph: ir.Graph, node: ir.Node, scales: CacheScales) -> None:
    """ONNX Runtime's own, which knows caches of bytes."""
    for kind in PAST_PLACES:
        node.attributes.add(ir.AttrString(f"{kind[0]}_quant_type", "PER_CHANNEL"))
    node.attributes.add(ir.AttrInt64("kv_cache_bit_width", BITS))
    node.resize_inputs(max(SCALE_PLACES.values()) + 1)
    for kind, place in PAST_PLACES.items():
        past = node.inputs[place]
        assert past is not None and past.is_graph_input(), node.name
        name = cache_name(past)
        node.replace_input_with(SCALE_PLACES[kind], scales_value(graph, name, scales.steps[name]))
        past.dtype = ir.DataType.INT8
    for present in node.outputs[1:3]:
        present.dtype = ir.DataType.INT8


def scales_value(graph: ir.Graph, name: str, steps: Floats) -> ir.Value:
    return initializer(graph, ir.Tensor(steps, name=f"{name}.cache_scales"))


def carriers_in(bundle: Bundle) -> list[GraphEntry]:
    """The decoders whose cache can hold bytes, in the order of `DIALECTS`."""
    decoders = {each.dialect: each for each in bundle.manifest.graphs if each.role == "decoder"}
    return [decoders[dialect] for dialect in DIALECTS if dialect in decoders]


def narrowed(entry: GraphEntry) -> GraphEntry:
    """The decoder's entry once its caches hold bytes."""

    def ports(every: tuple[Port, ...]) -> tuple[Port, ...]:
        return tuple(
            replace(port, dtype="int8") if port.name.startswith((PAST, PRESENT)) else port for port in every
        )

    return replace(entry, inputs=ports(entry.inputs), outputs=ports(entry.outputs))
