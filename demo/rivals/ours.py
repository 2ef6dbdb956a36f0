"""Our quantisers as one competitor among others: `python -m demo.rivals.ours METHOD GRAPH SAMPLES TARGET`."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import get_args

import onnx_ir as ir

from calibration.blocks import Quantised, Weight, quantised_from_weight
from calibration.decision import Decision, Int4, Int8
from calibration.gptq import gptq_from_weight
from calibration.layer import layers_from_graph
from calibration.minmax import WatchedGraph, scale_from_absmax
from calibration.moments import Moments
from calibration.observer import Observer
from calibration.quantgraph import Quantise, write_quantised_graph
from calibration.spread import SpreadGraph
from demo.rivals.subject import samples_in
from edge_runtime.bench.machine import core_count
from edge_runtime.errors import EdgeVLError

OBSERVERS: tuple[Observer, ...] = get_args(Observer)


def quantise(method: str, graph: Path, samples: Path, target: Path) -> None:
    names = list(dict.fromkeys(layer.name for layer in layers_from_graph(ir.load(graph).graph)))
    decisions: dict[str, Decision] = dict.fromkeys(names, Int4())
    rounding: Quantise = quantised_from_weight
    for observer in OBSERVERS:
        if method == f"int8-{observer}":
            decisions = decisions_from_ranges(graph, names, samples, observer)
    if method == "int4-gptq":
        rounding = gptq_rounding(graph, names, samples)
    write_quantised_graph(graph, target, "trt10", decisions, rounding)


def decisions_from_ranges(
    graph: Path, names: list[str], samples: Path, observer: Observer
) -> dict[str, Decision]:
    watched = watch_on(graph, names, observer, core_count())
    for feeds in samples_in(samples):
        watched.run(feeds)
    return {name: Int8(scale_from_absmax(reach)) for name, reach in watched.reaches().items()}


def watch_on(graph: Path, names: list[str], observer: Observer, threads: int) -> WatchedGraph | SpreadGraph:
    """The largest values need no more memory than running the graph; all others need its layers' inputs."""
    if observer == "minmax":
        return WatchedGraph(graph, names, threads)
    return SpreadGraph(graph, names, threads, observer)


def gptq_rounding(graph: Path, names: Iterable[str], samples: Path) -> Quantise:
    moments = Moments(graph, list(names), list(samples_in(samples)), core_count())

    def rounding(name: str, weight: Weight, how: Int4 | Int8) -> Quantised:
        assert isinstance(how, Int4), "every layer is asked for in 4 bits"
        return gptq_from_weight(name, weight, how.block, moments.of(name))

    return rounding


METHODS = (*(f"int8-{observer}" for observer in OBSERVERS), "int4-rtn", "int4-gptq")


def main(arguments: list[str]) -> int:
    method, graph, samples, target = arguments
    if method not in METHODS:
        raise EdgeVLError(
            "EVL-USAGE",
            f"there is no method {method!r}",
            f"there are {', '.join(METHODS)}",
            "choose one of these",
        )
    quantise(method, Path(graph), Path(samples), Path(target))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
