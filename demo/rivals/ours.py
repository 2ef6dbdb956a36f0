"""Our quantisers as one competitor among others: `python -m demo.rivals.ours METHOD GRAPH SAMPLES TARGET`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import get_args

import onnx_ir as ir

from calibration.awq import AwqSearch
from calibration.blocks import Quantised, Weight, covered_from_weight, quantised_from_weight
from calibration.decision import Decision, Int4, Int8
from calibration.desk import Desk
from calibration.gptq import gptq_from_weight
from calibration.layer import layers_from_graph
from calibration.migration import Scaling, factors_by_layer, scaling_from_factors
from calibration.minmax import WatchedGraph, scale_from_absmax
from calibration.moments import Moments
from calibration.observer import Observer
from calibration.pairs import pairs_from_graph
from calibration.quantgraph import UNSCALED, Quantise, write_quantised_graph
from calibration.ranges import watched_graph
from calibration.smoothing import reaches_after, smoothing_factors
from calibration.spread import SpreadGraph
from demo.rivals.subject import samples_in
from edge_runtime.bench.machine import core_count
from edge_runtime.errors import EdgeVLError
from edge_runtime.progress import silent

OBSERVERS: tuple[Observer, ...] = get_args(Observer)
SMOOTH = 0.7  # what `edge-vl calibrate` advises where there are outliers


@dataclass(frozen=True)
class Task:
    """`target` is a file in a folder of its own."""

    graph: Path
    samples: Path
    target: Path

    def names(self) -> list[str]:
        """Of everything in the graph that can be quantised, each once."""
        return list(dict.fromkeys(layer.name for layer in layers_from_graph(ir.load(self.graph).graph)))

    def moments(self) -> Moments:
        return Moments(self.graph, self.names(), list(samples_in(self.samples)), core_count())

    def write(
        self,
        decisions: Mapping[str, Decision],
        rounding: Quantise = quantised_from_weight,
        scaling: Scaling = UNSCALED,
    ) -> None:
        write_quantised_graph(self.graph, self.target, "trt10", decisions, rounding, scaling=scaling)


def products(task: Task, observer: Observer) -> None:
    watched = seen(task, observer)
    task.write(decisions_from_reaches(watched.reaches()))


def smoothed_products(task: Task) -> None:
    graph, watched = ir.load(task.graph).graph, seen(task, "minmax")
    channels = watched.channels()
    found = smoothing_factors(pairs_from_graph(graph), layers_from_graph(graph), channels, SMOOTH)
    reaches = reaches_after(channels, dict(factors_by_layer(found)))
    task.write(decisions_from_reaches(reaches), scaling=scaling_from_factors(found))


def seen(task: Task, observer: Observer) -> WatchedGraph | SpreadGraph:
    """After all samples."""
    watched = watched_graph(task.graph, task.names(), observer, core_count(), {})
    for feeds in samples_in(task.samples):
        watched.run(feeds)
    return watched


def decisions_from_reaches(reaches: Mapping[str, float]) -> dict[str, Decision]:
    return {name: Int8(scale_from_absmax(reach)) for name, reach in reaches.items()}


def nearest_weights(task: Task) -> None:
    task.write(dict.fromkeys(task.names(), Int4()))


def gptq_weights(task: Task) -> None:
    moments = task.moments()

    def rounding(name: str, weight: Weight, how: Int4 | Int8) -> Quantised:
        assert isinstance(how, Int4), "every layer is asked for in 4 bits"
        return gptq_from_weight(name, weight, how.block, moments.of(name))

    task.write(dict.fromkeys(task.names(), Int4()), rounding)


def awq_weights(task: Task) -> None:
    decisions: dict[str, Decision] = dict.fromkeys(task.names(), Int4())
    desk = Desk(task.target, "one contest, never taken up again")
    search = AwqSearch(task.graph, decisions, task.moments(), desk)
    found = search.factors(pairs_from_graph(ir.load(task.graph).graph), silent)
    desk.clear()
    task.write(decisions, covered_from_weight, scaling_from_factors(found))


METHODS: Mapping[str, Callable[[Task], None]] = {
    **{f"int8-{observer}": partial(products, observer=observer) for observer in OBSERVERS},
    "int8-smooth": smoothed_products,
    "int4-rtn": nearest_weights,
    "int4-gptq": gptq_weights,
    "int4-awq": awq_weights,
}


def quantise(method: str, graph: Path, samples: Path, target: Path) -> None:
    METHODS[method](Task(graph, samples, target))


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
