"""Ranges of one tower of a full-size model: `python -m demo.full_ranges memory|time BUNDLE ROLE OBSERVER IMAGES COUNT`.

Of all of them together, as calibration itself measures them, where ROLE is `vision`.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from calibration.desk import Desk
from calibration.minmax import WatchedGraph
from calibration.observer import Observer
from calibration.ranges import layer_names, vision_ranges, watched_graph
from calibration.samples import samples_from_folder
from calibration.spread import SpreadGraph
from edge_runtime.backends.ort import session_from_file
from edge_runtime.bench.machine import core_count
from edge_runtime.bundle import Bundle
from edge_runtime.manifest import GraphEntry
from edge_runtime.picture import picture_from_file
from edge_runtime.picture_limits import PictureLimits
from edge_runtime.preprocess import pixels_from_picture
from edge_runtime.progress import silent
from edge_runtime.spec import Role

Feeds = dict[str, npt.NDArray[Any]]


class Tower:
    """One vision role of a bundle, and the pictures that it is to see."""

    def __init__(self, folder: Path, role: Role, observer: Observer, images: Path, count: int) -> None:
        self.bundle = Bundle.open(folder, is_trusted=True)
        self.role, self.observer, self.images, self.count = role, observer, images, count
        dialects = self.bundle.manifest.dialects
        self.entry: GraphEntry = self.bundle.graph(role, "ort" if "ort" in dialects else dialects[0])

    def feeds(self) -> Iterator[Feeds]:
        (port,) = self.entry.inputs
        for path in islice(sorted(self.images.iterdir()), self.count):
            pixels = pixels_from_picture(
                picture_from_file(path, PictureLimits()), self.bundle.spec.preprocess
            )
            planes = pixels.high if self.role == "vision_high" else pixels.low
            assert planes is not None, "this model has no high-resolution tower"
            yield {port.name: np.ascontiguousarray(planes[None], port.dtype)}

    def watched(self) -> WatchedGraph | SpreadGraph:
        path, names = self.bundle.path_of(self.entry), layer_names(self.bundle, self.entry)
        return watched_graph(path, names, self.observer, core_count(), {})


def measured_ranges(tower: Tower) -> dict[str, object]:
    """What is watched from outside for its memory."""
    graph = tower.watched()
    for feeds in tower.feeds():
        graph.run(feeds)
    return {"images": graph.done, "layers": len(graph.reaches())}


def ranges_together(
    bundle: Bundle, observer: Observer, images: Path, count: int, desk: Path
) -> dict[str, object]:
    """Calibration's own pass, which opens the sessions of all towers and of the adaptor at once."""
    samples, dialects = samples_from_folder(images, count), bundle.manifest.dialects
    dialect = "ort" if "ort" in dialects else dialects[0]
    found = vision_ranges(bundle, dialect, samples, observer, 0.0, core_count(), Desk(desk, "key"), silent)
    return {"images": len(samples.samples), "layers": sum(map(len, found.reaches.values()))}


def compared_times(tower: Tower) -> dict[str, object]:
    """Each picture goes through the float graph and through the watched one in turn, so that both meet the same crowd."""
    is_mapped = tower.entry.precision == "fp32"
    plain = session_from_file(tower.bundle.path_of(tower.entry), core_count(), is_mapped)
    watched = tower.watched()
    spent = {"float": np.zeros(2), "ranges": np.zeros(2)}
    for feeds in tower.feeds():
        spent["float"] += seconds_of(lambda feeds=feeds: plain.run(None, feeds))  # type: ignore[misc]
        spent["ranges"] += seconds_of(lambda feeds=feeds: watched.run(feeds))  # type: ignore[misc]
    spent["ranges"] += seconds_of(watched.reaches)
    said: dict[str, object] = {"images": watched.done}
    for name, (wall, processor) in spent.items():
        said |= {f"{name}_s": round(wall, 3), f"{name}_cpu_s": round(processor, 3)}
    return said


def seconds_of(action: Callable[[], object]) -> npt.NDArray[np.float64]:
    """On the clock, and of all the processor's cores."""
    spent = -np.array([time.monotonic(), time.process_time()])
    action()
    spent += [time.monotonic(), time.process_time()]
    return spent


def main(arguments: list[str]) -> int:
    print(json.dumps(asked(*arguments)))
    return 0


def asked(what: str, folder: str, role: str, observer: Any, images: str, count: str) -> dict[str, object]:
    if role == "vision":
        bundle = Bundle.open(Path(folder), is_trusted=True)
        with TemporaryDirectory() as desk:
            return ranges_together(bundle, observer, Path(images), int(count), Path(desk) / "out")
    tower = Tower(Path(folder), cast("Role", role), observer, Path(images), int(count))
    return measured_ranges(tower) if what == "memory" else compared_times(tower)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
