"""How far the inputs of the vision roles' layers reach, over samples that run through the bundle's own graphs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
from PIL import Image

from calibration.desk import Desk
from calibration.layer import layers_from_graph
from calibration.minmax import WatchedGraph
from calibration.observer import Observer
from calibration.recipe import VISION
from calibration.samples import SampleSet
from calibration.spread import SpreadGraph
from edge_runtime.bundle import Bundle
from edge_runtime.dialects import Dialect
from edge_runtime.manifest import GraphEntry
from edge_runtime.preprocess import pixels_from_picture
from edge_runtime.progress import Progress
from edge_runtime.spec import Role

Reaches = Mapping[Role, Mapping[str, float]]
Array = npt.NDArray[Any]
RANGES = "ranges"  # on the desk


def layer_names(bundle: Bundle, entry: GraphEntry) -> list[str]:
    """Of everything in the graph that can be quantised, each once."""
    layers = layers_from_graph(ir.load(bundle.path_of(entry)).graph)
    return list(dict.fromkeys(layer.name for layer in layers))


def vision_ranges(
    bundle: Bundle,
    dialect: Dialect,
    samples: SampleSet,
    observer: Observer,
    threads: int,
    desk: Desk,
    progress: Progress,
) -> Reaches:
    """Every picture goes through preprocessing, towers and adaptor once, as when it is asked about."""
    vision = WatchedVision(bundle, dialect, observer, threads)
    vision.take_from(desk)
    for done, sample in enumerate(samples.samples):
        progress("measuring ranges", done, len(samples.samples))
        if done >= vision.done:
            vision.look(sample.picture())
            if desk.is_due or vision.done == len(samples.samples):
                vision.lay_on(desk)
    return {role: graph.reaches() for role, graph in vision.graphs.items()}


def watched_graph(
    path: Path, names: list[str], observer: Observer, threads: int
) -> WatchedGraph | SpreadGraph:
    if observer == "minmax":
        return WatchedGraph(path, names, threads)  # which needs no more memory than running the graph
    return SpreadGraph(path, names, threads, observer)


class WatchedVision:
    """The vision roles with a watch on every layer."""

    def __init__(self, bundle: Bundle, dialect: Dialect, observer: Observer, threads: int) -> None:
        self.spec = bundle.spec
        entries = {role: bundle.graph(role, dialect) for role in bundle.spec.roles if role in VISION}
        self.dtypes = {
            role: {port.name: port.dtype for port in each.inputs} for role, each in entries.items()
        }
        self.graphs = {
            role: watched_graph(bundle.path_of(entry), layer_names(bundle, entry), observer, threads)
            for role, entry in entries.items()
        }

    @property
    def done(self) -> int:
        """Pictures that went through all roles."""
        return min(graph.done for graph in self.graphs.values())

    def take_from(self, desk: Desk) -> None:
        laid = desk.take(RANGES)
        if laid is None:
            return
        for role, graph in self.graphs.items():
            own = f"{role}/"
            graph.restore({name[len(own) :]: each for name, each in laid.items() if name.startswith(own)})

    def lay_on(self, desk: Desk) -> None:
        """Between two pictures, when all roles have seen as many."""
        states = {role: graph.state() for role, graph in self.graphs.items()}
        desk.lay(
            RANGES, {f"{role}/{name}": each for role, state in states.items() for name, each in state.items()}
        )

    def look(self, picture: Image.Image) -> None:
        pixels = pixels_from_picture(picture, self.spec.preprocess)
        features: dict[str, Array] = {}
        if pixels.high is not None:
            features["high"] = self.run("vision_high", {"pixels": pixels.high[None]})["features"]
        features["low"] = self.run("vision_low", {"pixels": pixels.low[None]})["features"]
        self.run("adaptor", features)

    def run(self, role: Role, feeds: Mapping[str, Array]) -> dict[str, Array]:
        dtypes = self.dtypes[role]
        return self.graphs[role].run(
            {name: np.ascontiguousarray(array, dtypes[name]) for name, array in feeds.items()}
        )
