"""What is measured in the decoder, and not twice."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from calibration.calibrate import calibrate_bundle
from calibration.desk import Desk
from calibration.minmax import WatchedGraph
from calibration.planner import watch
from calibration.recipe import Recipe
from calibration.samples import samples_from_folder
from calibration.session import Feeds
from edge_runtime.bundle import Bundle
from edge_runtime.progress import silent
from tests.calibration.reaches import absmax_from_samples
from tests.calibration.toy import LAYERS, Toy
from tests.proof.subject import bundle_below, session_folder

RECIPE = Recipe(vision="fp16", decoder="w8a8", head="fp16", kv="int8")


class CountedGraph(WatchedGraph):
    """How often it ran."""

    ran = 0

    def run(self, feeds: Feeds, sample: str = "") -> dict[str, object]:  # type: ignore[override]
        self.ran += 1
        return dict(super().run(feeds, sample))


def test_samples_that_were_seen_before_a_kill_are_not_seen_again(tmp_path: Path) -> None:
    toy = Toy()
    path, feeds = toy.write(tmp_path), [{"x": toy.x * step} for step in (3, 5, 2, 1)]

    def watched(first: int, key: str = "key") -> CountedGraph:
        graph = CountedGraph(path, LAYERS, 1, has_results=False)
        watch(graph, feeds[:first], Desk(tmp_path / "out", key, save_seconds=0.0), silent)
        return graph

    assert watched(2).ran == 2
    again = watched(4)
    assert again.ran == 2 and again.done == 4
    assert again.reaches() == absmax_from_samples(path, LAYERS, feeds, threads=1)
    assert watched(4).ran == 0


class Cut:
    """Ctrl-C where a stage begins."""

    def __init__(self, stage: str) -> None:
        self.stage = stage

    def __call__(self, stage: str, done: int, total: int) -> None:
        if stage == self.stage and done >= min(1, total - 1):
            raise KeyboardInterrupt


def test_a_cut_run_ends_with_the_same_bytes_and_measures_nothing_twice(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    source = Bundle.open(bundle_below(session_folder(tmp_path_factory), "hybrid"))
    for index in range(2):
        Image.radial_gradient("L").resize((60 + index, 40)).save(tmp_path / f"{index}.png")
    samples = samples_from_folder(tmp_path, 10)
    out, whole, desk = tmp_path / "out", tmp_path / "whole", tmp_path / ".out.desk"
    times = dict[str, int]()
    for stage in ("measuring the cache", "writing", "hashing"):
        with pytest.raises(KeyboardInterrupt):
            calibrate_bundle(source, out, RECIPE, samples, 1, Cut(stage))
        found = {path.name: path.stat().st_mtime_ns for path in desk.iterdir()}
        assert times.items() <= found.items() and "reaches.npz" in found
        times = found
    assert "cache.npz" in times and not out.exists()
    for folder in (out, whole):
        calibrate_bundle(source, folder, RECIPE, samples, 1, silent)
    assert bytes_below(out) == bytes_below(whole) and not desk.exists()


def bytes_below(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }
