"""A float bundle written anew as its plan says; everything but graphs is copied byte for byte."""

from __future__ import annotations

import posixpath
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

from calibration.cache import DIALECTS, CacheScales, narrow_caches, narrowed
from calibration.ladder import matrices_of, precision_of
from calibration.plan import Plan
from calibration.quantgraph import UNSCALED, Outcome, unchanged, write_quantised_graph
from calibration.recipe import Recipe
from calibration.soundness import tensors_named
from calibration.table import write_int8_table
from edge_runtime.bundle import Bundle, file_entries
from edge_runtime.manifest import QUALITY_NAME, Calibration, GraphEntry, Manifest
from edge_runtime.progress import Progress

PAGE_NAME = "quality.html"


class BundleWriter:
    """Fills a folder. `outcomes` tells what became of each layer, by dialect and role."""

    def __init__(self, bundle: Bundle, recipe: Recipe, plan: Plan, folder: Path, progress: Progress) -> None:
        self.bundle, self.recipe, self.plan, self.folder = bundle, recipe, plan, folder
        self.progress = progress
        self.outcomes: dict[str, dict[str, tuple[Outcome, ...]]] = {}
        self._total, self._done = sum(entry.bytes for entry in bundle.manifest.files), 0
        self._matrices = matrices_of(bundle)

    def write(self, origin: Calibration) -> Manifest:
        """The manifest of what was written, not written itself yet."""
        before = self.bundle.manifest
        self._copy_rest()
        table = before.embedding
        if self.recipe.embedding == "int8":
            table = write_int8_table(self.bundle, self.folder)
            self._tick(sum(before.embedding.sizes.values()))
        graphs = tuple(self._write_graph(entry) for entry in before.graphs)
        files = file_entries(self.folder, written_in(self.folder))
        return replace(before, graphs=graphs, embedding=table, files=files, calibration=origin)

    def _copy_rest(self) -> None:
        """Hashes were checked when the bundle was opened."""
        manifest = self.bundle.manifest
        made = {name for entry in manifest.graphs for name in files_of(self.bundle, entry)}
        made |= {QUALITY_NAME, PAGE_NAME}
        made |= set(manifest.embedding.sizes) if self.recipe.embedding == "int8" else set()
        for entry in manifest.files:
            if entry.path not in made:
                self._copy(entry.path)

    def _copy(self, name: str) -> None:
        target = self.folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self.bundle.folder / name, target)
        self._tick(target.stat().st_size)

    def _write_graph(self, entry: GraphEntry) -> GraphEntry:
        decisions, cache = self.plan.decisions.get(entry.role, {}), self._cache(entry)
        if not decisions and cache is None:
            for name in files_of(self.bundle, entry):
                self._copy(name)
            return entry
        target = self.folder / entry.path
        target.parent.mkdir(parents=True, exist_ok=True)
        source = self.bundle.path_of(entry)
        scaling = self.plan.scalings.get(entry.role, UNSCALED)
        change = unchanged if cache is None else partial(narrow_caches, scales=cache.scaled(scaling))
        with tensors_named(source):
            written = write_quantised_graph(
                source, target, entry.dialect, decisions, self.plan.quantise, self._tick, scaling, change
            )
        self.outcomes.setdefault(entry.dialect, {})[entry.role] = written.outcomes
        precision = precision_of(self._matrices[entry.role], decisions, entry.precision)
        made = replace(entry, precision=precision, opset=written.opset)
        return made if cache is None else narrowed(made)

    def _cache(self, entry: GraphEntry) -> CacheScales | None:
        return self.plan.cache if entry.role == "decoder" and entry.dialect in DIALECTS else None

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
