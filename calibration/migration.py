"""Scale that moves from what gives values to the products that read them: the graph answers as before, and rounds better."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from calibration.blocks import Floats
from calibration.layer import WEIGHT_NAME
from calibration.pairs import Pair, pairs_from_graph
from edge_runtime.bundle import Bundle
from edge_runtime.errors import EdgeVLError
from edge_runtime.spec import Role

Array = npt.NDArray[Any]

LARGEST_FACTOR = 64.0  # and its reciprocal the least: weights stay far inside what fp16 holds
LEAST_SHARE = (
    1e-4  # of the largest channel: what is smaller counts as that, so that idle channels have a factor
)


@dataclass(frozen=True, eq=False)
class Scaling:
    """Factors of one graph by the name of a tensor, the same in every dialect. None at all leaves all as it is.

    Parts of a tensor that is split by columns (`head.weight_0`) have the factors of the whole (`head.weight`).
    """

    rows: Mapping[str, Floats] = field(default_factory=dict)  # (K,): what rows of (K, N) are multiplied with
    columns: Mapping[str, Floats] = field(default_factory=dict)  # what the last axis is divided by

    def is_scaled(self, name: str) -> bool:
        return whole(name) in self.rows or name in self.columns

    def is_migrated(self, layer: str) -> bool:
        """Whether what this layer reads comes with another scale than before."""
        return f"{layer}.weight" in self.rows

    def applied(self, name: str, array: Array) -> Array:
        """The tensor as it is to be stored, in its type."""
        if not self.is_scaled(name):
            return array
        scaled = array.astype(np.float32)
        if (rows := self.rows.get(whole(name))) is not None:
            scaled *= rows[:, None]
        if (columns := self.columns.get(name)) is not None:
            scaled /= columns
        with np.errstate(over="ignore"):
            stored: Array = scaled.astype(array.dtype)
        if np.isfinite(stored).all() or not np.isfinite(array).all():
            return stored
        what, why = f"the tensor {name} cannot take scale from its neighbour", f"{array.dtype} cannot hold it"
        raise EdgeVLError("EVL-QUANT-SCALE", what, why, "calibrate with --smooth 0 and without --method awq")


def scaling_from_factors(factors: Mapping[Pair, Floats]) -> Scaling:
    """What each pair's readers are multiplied with, and what gives to them is divided by."""
    rows = {f"{reader}.weight": each for pair, each in factors.items() for reader in pair.readers}
    columns = {name: each for pair, each in factors.items() for name in pair.divided}
    return Scaling(rows, columns)


def whole(name: str) -> str:
    """The name of the tensor that this one is a part of, or is."""
    match = WEIGHT_NAME.fullmatch(name)
    return f"{match['layer']}.weight" if match else name


def pairs_of(bundle: Bundle, role: Role) -> list[Pair]:
    """Those that all of the role's dialects have: factors are the same in all of them."""
    graphs = [ir.load(bundle.path_of(entry)).graph for entry in bundle.manifest.graphs if entry.role == role]
    first, *others = [pairs_from_graph(graph) for graph in graphs]
    return [pair for pair in first if all(pair in each for each in others)]


def balanced(factors: Floats) -> Floats:
    """As far above one as below it, and none beyond what fp16 bears."""
    middle = np.sqrt(factors.max() * factors.min())
    found: Floats = np.clip(factors / middle, 1 / LARGEST_FACTOR, LARGEST_FACTOR).astype(np.float32)
    return found


def raised(channels: Floats) -> Floats:
    """Magnitudes by channel, none of them zero; all one where all are."""
    largest = channels.max()
    if largest == 0:
        return np.ones_like(channels)
    found: Floats = np.maximum(channels, largest * np.float32(LEAST_SHARE))
    return found


def factors_by_layer(factors: Mapping[Pair, Floats]) -> Iterator[tuple[str, Floats]]:
    """What each layer's input is divided by, channel by channel."""
    return ((reader, each) for pair, each in factors.items() for reader in pair.readers)
