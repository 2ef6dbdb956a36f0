"""A float bundle written anew as its plan says; everything but graphs is copied byte for byte."""

from __future__ import annotations

import posixpath
import shutil
from dataclasses import replace
from pathlib import Path

from calibration.plan import Plan
from calibration.quantgraph import UNSCALED, Outcome, write_quantised_graph
from calibration.recipe import Recipe
from edge_runtime.bundle import Bundle, file_entries
from edge_runtime.manifest import Calibration, GraphEntry, Manifest
from edge_runtime.progress import Progress

QUALITY_NAME, PAGE_NAME = "quality.json", "quality.html"


class BundleWriter:
    """Fills a folder. `outcomes` tells what became of each layer, by dialect and role."""

    def __init__(self, bundle: Bundle, recipe: Recipe, plan: Plan, folder: Path, progress: Progress) -> None:
        self.bundle, self.recipe, self.plan, self.folder = bundle, recipe, plan, folder
        self.progress = progress
        self.outcomes: dict[str, dict[str, tuple[Outcome, ...]]] = {}
        self._total, self._done = sum(entry.bytes for entry in bundle.manifest.files), 0

    def write(self, origin: Calibration) -> Manifest:
        """The manifest of what was written, not written itself yet."""
        self._copy_rest()
        graphs = tuple(self._write_graph(entry) for entry in self.bundle.manifest.graphs)
        files = file_entries(self.folder, written_in(self.folder))
        return replace(self.bundle.manifest, graphs=graphs, files=files, calibration=origin)

    def _copy_rest(self) -> None:
        """Hashes were checked when the bundle was opened."""
        of_graphs = {name for entry in self.bundle.manifest.graphs for name in files_of(self.bundle, entry)}
        for entry in self.bundle.manifest.files:
            if entry.path not in of_graphs and entry.path not in (QUALITY_NAME, PAGE_NAME):
                self._copy(entry.path)

    def _copy(self, name: str) -> None:
        target = self.folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self.bundle.folder / name, target)
        self._tick(target.stat().st_size)

    def _write_graph(self, entry: GraphEntry) -> GraphEntry:
        decisions = self.plan.decisions.get(entry.role, {})
        if not decisions:
            for name in files_of(self.bundle, entry):
                self._copy(name)
            return entry
        target = self.folder / entry.path
        target.parent.mkdir(parents=True, exist_ok=True)
        source = self.bundle.path_of(entry)
        scaling = self.plan.scalings.get(entry.role, UNSCALED)
        written = write_quantised_graph(
            source, target, entry.dialect, decisions, self.plan.quantise, self._tick, scaling
        )
        self.outcomes.setdefault(entry.dialect, {})[entry.role] = written.outcomes
        precision = self.recipe.precision(entry.role, entry.precision)
        return replace(entry, precision=precision, opset=written.opset)

    def _tick(self, count: int) -> None:
        self._done += count
        self.progress("writing", min(self._done, self._total), self._total)


def files_of(bundle: Bundle, entry: GraphEntry) -> list[str]:
    """The graph and its data files, relative to the bundle."""
    folder = posixpath.dirname(entry.path)
    places = [each.external for each in bundle.onnx_file(entry).tensors if each.external is not None]
    data = dict.fromkeys(posixpath.join(folder, place.location) for place in places)
    return [entry.path, *data]


def written_in(folder: Path) -> list[str]:
    names = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return [name.as_posix() for name in names if not name.name.startswith(".")]
