"""How much harm each layer does when it alone is quantised."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from calibration.decision import Decision, Float, decision_for_shape
from calibration.desk import Desk
from calibration.ladder import Ladder, Matrices, Matrix, Mix, decisions_below_float, ladder_from
from calibration.trial import DECODER, Trial
from edge_runtime.progress import Progress
from edge_runtime.spec import Role

Damages = Mapping[Decision, float]  # nats a token; what was asked for first, then what is nearer to float


@dataclass(frozen=True)
class Sensitivity:
    """By role and layer. A head that is split is one layer."""

    damages: Mapping[Role, Mapping[str, Damages]]

    def ranked(self) -> dict[Role, dict[str, float]]:
        """KL of what was asked for, the most harmful layer of each role first."""
        return {
            role: dict(sorted(asked_for(layers).items(), key=lambda each: (-each[1], each[0])))
            for role, layers in self.damages.items()
        }

    def to_json(self) -> dict[str, dict[str, float | None]]:
        """The same for `quality.json`; null for a layer that breaks the model."""
        return {
            role: {name: kl if math.isfinite(kl) else None for name, kl in layers.items()}
            for role, layers in self.ranked().items()
        }

    def ladders(self, matrices: Matrices) -> tuple[Ladder, ...]:
        return tuple(
            ladder_from(role, name, matrices[role][name], damages)
            for role, layers in self.damages.items()
            for name, damages in layers.items()
        )


def asked_for(layers: Mapping[str, Damages]) -> dict[str, float]:
    return {name: next(iter(damages.values())) for name, damages in layers.items()}


def sensitivity_of(
    trial: Trial, mix: Mix, matrices: Matrices, desk: Desk, progress: Progress, is_asked_only: bool = False
) -> Sensitivity:
    """Every decision of `mix` tried alone, and what lies between it and float unless `is_asked_only`.

    What was found is laid on the desk layer by layer.
    """
    wanted = [
        (role, name, decision)
        for role, name, asked in in_order(mix, matrices)
        for decision in decisions_below_float(asked)[: 1 if is_asked_only else None]
    ]
    found: dict[Role, dict[str, dict[Decision, float]]] = {}
    for done, (role, name, decision) in enumerate(wanted):
        progress("ranking layers", done, len(wanted))
        found.setdefault(role, {}).setdefault(name, {})[decision] = damage_of(
            trial, role, name, decision, desk
        )
    return Sensitivity(found)


def in_order(mix: Mix, matrices: Matrices) -> list[tuple[Role, str, Decision]]:
    """Layers that would be quantised; the decoder last, so that the float one is opened for all others once."""
    roles = sorted(mix, key=lambda role: role == DECODER)
    return [
        (role, name, decision)
        for role in roles
        for name, decision in mix[role].items()
        if any(is_quantised(decision, each) for each in matrices[role][name])
    ]


def is_quantised(decision: Decision, matrix: Matrix) -> bool:
    return not isinstance(decision_for_shape(decision, matrix.rows, matrix.columns), Float)


def damage_of(trial: Trial, role: Role, name: str, decision: Decision, desk: Desk) -> float:
    asked = [each.sample.sha256 for each in trial.asked]
    key = f"alone-{hashlib.sha256(repr((role, name, decision, asked)).encode()).hexdigest()}"
    laid = desk.take(key)
    if laid is not None:
        return float(laid["kl"])
    kl = trial.kl(role, {name: decision})
    desk.lay(key, {"kl": np.array(kl)})
    return kl
