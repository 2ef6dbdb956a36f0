"""Mixes of precisions that are written as bundles for a moment, to be asked what they cost."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from calibration.agreement import agreement_of
from calibration.answers import Answers
from calibration.budget import Measured
from calibration.decision import Float
from calibration.desk import Desk
from calibration.evaluation import Evaluation, Exam, evaluation_of, lost_points
from calibration.ladder import Mix
from calibration.writer import files_of
from edge_runtime.bundle import Bundle
from edge_runtime.dialects import Dialect
from edge_runtime.progress import Progress
from edge_runtime.publish import undisturbed

Write = Callable[[Mix, Path], Bundle]  # into a folder that is there and empty
FOLDER = "rehearsal"  # on the desk


@dataclass(frozen=True, eq=False)
class Sitting:
    """An exam, and what the float bundle made of it."""

    exam: Exam
    before: Evaluation


class Rehearsal:
    """A `Measure`: the bundle that would be shipped, through the runtime that answers users.

    What a mix costs is laid on the desk; the bundle itself lies there only while it is asked.
    """

    def __init__(
        self,
        write: Write,
        dialect: Dialect,
        answers: Answers,
        sitting: Sitting | None,
        threads: int,
        desk: Desk,
        progress: Progress,
    ) -> None:
        self._write, self._dialect, self._answers, self._sitting = write, dialect, answers, sitting
        self._threads, self._desk, self._progress = threads, desk, progress

    def __call__(self, mix: Mix) -> Measured:
        name = f"mix-{hashlib.sha256(repr(self._said(mix)).encode()).hexdigest()}"
        laid = self._desk.take(name)
        if laid is None:
            measured = self._measured(mix)
            lost = [] if measured.lost_points is None else [measured.lost_points]
            self._desk.lay(name, {"kl": np.array(measured.kl), "lost": np.array(lost, np.float64)})
            return measured
        return Measured(float(laid["kl"]), *map(float, laid["lost"]))

    def _said(self, mix: Mix) -> list[object]:
        """All that decides what is found; the reasons why layers stay float do not."""
        layers = [
            (role, layer, decision)
            for role, decisions in sorted(mix.items())
            for layer, decision in sorted(decisions.items())
            if not isinstance(decision, Float)
        ]
        asked = [sample.sha256 for sample, _, _ in self._answers.compared]
        return [layers, asked, None if self._sitting is None else self._sitting.exam.sha256]

    def _measured(self, mix: Mix) -> Measured:
        folder = self._desk.folder / FOLDER
        shutil.rmtree(folder, ignore_errors=True)  # of a run that was killed
        try:
            folder.mkdir(mode=0o700, parents=True)
            return self._asked(self._write(mix, folder))
        finally:
            with undisturbed():
                shutil.rmtree(folder, ignore_errors=True)

    def _asked(self, bundle: Bundle) -> Measured:
        kl = agreement_of(self._answers, bundle, self._dialect, self._threads, self._progress).kl
        if self._sitting is None:
            return Measured(kl)
        after = evaluation_of(bundle, self._dialect, self._sitting.exam, self._threads, self._progress)
        return Measured(kl, lost_points(self._sitting.before, after))


def bundle_in_one_dialect(bundle: Bundle, dialect: Dialect) -> Bundle:
    """The same folder without what other dialects alone need: enough to be asked, and quicker to write anew."""
    kept = tuple(entry for entry in bundle.manifest.graphs if entry.dialect == dialect)
    left = {name for entry in bundle.manifest.graphs if entry not in kept for name in files_of(bundle, entry)}
    left -= {name for entry in kept for name in files_of(bundle, entry)}
    files = tuple(entry for entry in bundle.manifest.files if entry.path not in left)
    return Bundle(bundle.folder, replace(bundle.manifest, graphs=kept, files=files))
