"""How far the inputs of layers reach, in one go."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

from calibration.minmax import WatchedGraph
from calibration.session import Feeds


def absmax_from_samples(
    path: Path, names: Collection[str], samples: Iterable[Feeds], threads: int
) -> dict[str, float]:
    """max |x| of each named layer's input over all samples, by layer name."""
    graph = WatchedGraph(path, names, threads, has_results=False)
    for feeds in samples:
        graph.run(feeds)
    return graph.reaches()
