"""A small bundle and what it answers in float, for whoever tries quantised layers on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from calibration.answers import Answers, float_answers
from calibration.calibrate import NO_SAMPLES
from calibration.decision import Int4, Int8
from calibration.desk import Desk
from calibration.ladder import Matrices, Mix, matrices_of
from calibration.plan import Decisions, Plan
from calibration.recipe import Recipe
from calibration.samples import SampleSet, samples_from_folder
from calibration.writer import BundleWriter
from edge_runtime.bundle import Bundle
from edge_runtime.manifest import Calibration
from edge_runtime.progress import silent
from edge_runtime.spec import Role
from tests.proof.subject import bundle_below

VISION_SCALE = 0.05  # coarse enough to be seen


@dataclass(frozen=True, eq=False)
class Rehearsed:
    bundle: Bundle
    samples: SampleSet
    answers: Answers
    matrices: Matrices

    @classmethod
    def below(cls, subjects: Path, folder: Path) -> Rehearsed:
        bundle = Bundle.open(bundle_below(subjects, "hybrid"))
        for index in range(2):
            Image.radial_gradient("L").resize((60 + index, 40)).save(folder / f"{index}.png")
        samples = samples_from_folder(folder, 10)
        answers = float_answers(bundle, "ort", samples, False, 1, Desk(folder / "out", "key"), silent)
        return cls(bundle, samples, answers, matrices_of(bundle))

    def mix(self, *roles: Role) -> Mix:
        """4-bit weights of the decoder, 8-bit ones of the head, 8-bit products elsewhere."""
        return {role: self.decisions(role) for role in roles}

    def decisions(self, role: Role) -> Decisions:
        names = self.matrices[role]
        if role != "decoder":
            return dict.fromkeys(names, Int8(VISION_SCALE))
        return {name: Int8() if name == "head" else Int4(32) for name in names}

    def written(self, mix: Mapping[Role, Decisions], folder: Path) -> Bundle:
        writer = BundleWriter(self.bundle, Recipe(block=32), Plan(mix), folder, silent)
        return Bundle(folder, writer.write(Calibration("rtn", "minmax", 0, NO_SAMPLES)))
