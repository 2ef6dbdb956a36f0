"""What every layer of a bundle is to become, and how its weights are rounded."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from calibration.blocks import (
    Quantised,
    Weight,
    covered_from_weight,
    int4_from_packed,
    packed_from_int4,
    quantised_from_weight,
)
from calibration.cache import CacheScales
from calibration.decision import Decision, Int4, Int8
from calibration.desk import Desk
from calibration.gptq import gptq_from_weight
from calibration.migration import Scaling
from calibration.moments import Moments
from calibration.quantgraph import Quantise
from edge_runtime.spec import Role

Decisions = Mapping[str, Decision]  # by layer


@dataclass(frozen=True, eq=False)
class Plan:
    """The same for every dialect. Layers that no decision names stay as they are."""

    decisions: Mapping[Role, Decisions]
    quantise: Quantise = field(default=quantised_from_weight)
    scalings: Mapping[Role, Scaling] = field(default_factory=dict)
    cache: CacheScales | None = None  # of a cache that holds bytes


class AwqRounding:
    """Cuts nothing of weights whose rows were made larger, for these are the largest; everything else to nearest."""

    def __init__(self, scaling: Scaling) -> None:
        self._scaling = scaling

    def __call__(self, name: str, weight: Weight, how: Int4 | Int8) -> Quantised:
        quantise = covered_from_weight if self._scaling.is_migrated(name) else quantised_from_weight
        return quantise(name, weight, how)


class GptqRounding:
    """Rounds 4-bit weights with the help of the decoder's moments, everything else to nearest.

    What a weight became is laid on the desk: it is computed once, however often and for however many dialects it is
    asked for.
    """

    def __init__(self, moments: Moments, desk: Desk) -> None:
        self._moments, self._desk = moments, desk

    def __call__(self, name: str, weight: Weight, how: Int4 | Int8) -> Quantised:
        if isinstance(how, Int8):
            return quantised_from_weight(name, weight, how)
        key = f"gptq-{how.block}-{key_of(name, weight)}"
        laid = self._desk.take(key)
        if laid is not None:
            integers = int4_from_packed(laid["integers"], weight.size).reshape(weight.shape)
            return Quantised(4, integers, laid["scales"])
        made = gptq_from_weight(name, weight, how.block, self._moments.of(name))
        self._desk.lay(key, {"integers": packed_from_int4(made.integers), "scales": made.scales})
        return made


def key_of(name: str, weight: Weight) -> str:
    """Of what is rounded: a layer's name says with which moments, its bytes which part of a head it is."""
    said = f"{name} {weight.dtype} {weight.shape} ".encode()
    return hashlib.sha256(said + weight.tobytes()).hexdigest()
