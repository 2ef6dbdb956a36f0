"""How far the inputs of the vision roles' layers reach, over samples that run through the bundle's own graphs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
from PIL import Image

from calibration.desk import Desk
from calibration.layer import layers_from_graph
from calibration.migration import Scaling, factors_by_layer, pairs_of, scaling_from_factors
from calibration.minmax import Maxima, WatchedGraph
from calibration.observer import Observer
from calibration.pairs import Pair
from calibration.recipe import VISION
from calibration.samples import SampleSet
from calibration.smoothing import reaches_after, smoothing_factors
from calibration.spread import SpreadGraph
from edge_runtime.bundle import Bundle
from edge_runtime.dialects import Dialect
from edge_runtime.manifest import GraphEntry
from edge_runtime.preprocess import pixels_from_picture
from edge_runtime.progress import Progress
from edge_runtime.spec import Role

Reaches = Mapping[Role, Mapping[str, float]]
Array = npt.NDArray[Any]
Factors = Mapping[Role, Mapping[str, Maxima]]  # by layer, what its input's channels are divided by
RANGES, SMOOTH_RANGES = "ranges", "ranges-smooth"  # on the desk


@dataclass(frozen=True, eq=False)
class Ranges:
    reaches: Reaches = field(default_factory=dict)
    scalings: Mapping[Role, Scaling] = field(default_factory=dict)  # with which layers' inputs reach so far


def layer_names(bundle: Bundle, entry: GraphEntry) -> list[str]:
    """Of everything in the graph that can be quantised, each once."""
    layers = layers_from_graph(ir.load(bundle.path_of(entry)).graph)
    return list(dict.fromkeys(layer.name for layer in layers))


def vision_ranges(
    bundle: Bundle,
    dialect: Dialect,
    samples: SampleSet,
    observer: Observer,
    smooth: float,
    threads: int,
    desk: Desk,
    progress: Progress,
) -> Ranges:
    """Every picture goes through preprocessing, towers and adaptor once, as when it is asked about; twice where
    observers other than minmax look at smoothed inputs: a histogram of all channels together says nothing of what it
    would be had each been divided by a number of its own, which the first pass is there to find."""
    first = WatchedVision(bundle, dialect, "minmax" if smooth else observer, threads)
    reaches = first.watch(samples, desk, RANGES, progress)
    if not smooth:
        return Ranges(reaches)
    found = {role: smoothed(bundle, role, dialect, graph, smooth) for role, graph in first.graphs.items()}
    factors = {role: dict(factors_by_layer(each)) for role, each in found.items()}
    if observer == "minmax":
        reaches = first.reaches_after(factors)
    else:
        del first  # its towers: the second's would be in memory beside them
        second = WatchedVision(bundle, dialect, observer, threads, factors)
        reaches = second.watch(samples, desk, SMOOTH_RANGES, progress)
    return Ranges(reaches, {role: scaling_from_factors(each) for role, each in found.items()})


def smoothed(
    bundle: Bundle, role: Role, dialect: Dialect, graph: WatchedGraph | SpreadGraph, smooth: float
) -> dict[Pair, Maxima]:
    layers = layers_from_graph(ir.load(bundle.path_of(bundle.graph(role, dialect))).graph)
    return smoothing_factors(pairs_of(bundle, role), layers, graph.channels(), smooth)


def watched_graph(
    path: Path, names: list[str], observer: Observer, threads: int, factors: Mapping[str, Maxima]
) -> WatchedGraph | SpreadGraph:
    if observer == "minmax":
        assert not factors, "what the largest values become is known without a look"
        return WatchedGraph(path, names, threads)  # which needs no more memory than running the graph
    return SpreadGraph(path, names, threads, observer, factors)


class WatchedVision:
    """The vision roles with a watch on every layer."""

    def __init__(
        self,
        bundle: Bundle,
        dialect: Dialect,
        observer: Observer,
        threads: int,
        factors: Factors = MappingProxyType({}),
    ) -> None:
        self.spec = bundle.spec
        entries = {role: bundle.graph(role, dialect) for role in bundle.spec.roles if role in VISION}
        self.dtypes = {
            role: {port.name: port.dtype for port in each.inputs} for role, each in entries.items()
        }
        self.graphs = {
            role: watched_graph(
                bundle.path_of(entry), layer_names(bundle, entry), observer, threads, factors.get(role, {})
            )
            for role, entry in entries.items()
        }

    @property
    def done(self) -> int:
        """Pictures that went through all roles."""
        return min(graph.done for graph in self.graphs.values())

    def reaches(self) -> Reaches:
        """An EdgeVLError for a layer that only ever saw zeros."""
        return {role: graph.reaches() for role, graph in self.graphs.items()}

    def reaches_after(self, factors: Factors) -> Reaches:
        """What the largest values become once channels are divided; for graphs that kept nothing else."""
        return {role: reaches_after(each.channels(), factors[role]) for role, each in self.graphs.items()}

    def watch(self, samples: SampleSet, desk: Desk, piece: str, progress: Progress) -> Reaches:
        """Looks at all pictures that it did not see before it was last laid on the desk; tells how far values reached."""
        self.take_from(desk, piece)
        count = len(samples.samples)
        for done, sample in enumerate(samples.samples):
            progress("measuring ranges", done, count)
            if done >= self.done:
                self.look(sample.picture(), sample.where)
                if desk.is_due or self.done == count:
                    self.lay_on(desk, piece)
        return self.reaches()

    def take_from(self, desk: Desk, piece: str) -> None:
        laid = desk.take(piece)
        if laid is None:
            return
        for role, graph in self.graphs.items():
            own = f"{role}/"
            graph.restore({name[len(own) :]: each for name, each in laid.items() if name.startswith(own)})

    def lay_on(self, desk: Desk, piece: str) -> None:
        """Between two pictures, when all roles have seen as many."""
        states = {role: graph.state() for role, graph in self.graphs.items()}
        desk.lay(
            piece, {f"{role}/{name}": each for role, state in states.items() for name, each in state.items()}
        )

    def look(self, picture: Image.Image, name: str) -> None:
        """`name` is what the picture is called in errors."""
        pixels = pixels_from_picture(picture, self.spec.preprocess)
        features: dict[str, Array] = {}
        if pixels.high is not None:
            features["high"] = self.run("vision_high", name, {"pixels": pixels.high[None]})["features"]
        features["low"] = self.run("vision_low", name, {"pixels": pixels.low[None]})["features"]
        self.run("adaptor", name, features)

    def run(self, role: Role, sample: str, feeds: Mapping[str, Array]) -> dict[str, Array]:
        dtypes = self.dtypes[role]
        cast = {name: np.ascontiguousarray(array, dtypes[name]) for name, array in feeds.items()}
        return self.graphs[role].run(cast, sample)
