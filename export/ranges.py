"""Which numbers fp16 cannot hold: of weights while they are written, of activations while samples run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from edge_runtime.errors import EdgeVLError
from edge_runtime.spec import Role
from export.islands import WHOLE

FP16_LARGEST = 65504.0
FP16_NORMAL = 2.0**-14  # smaller numbers lose digits, and below 2**-25 they become zero
HEADROOM = 4.0  # a picture that was not among the samples may reach further
ACTIVATION_LIMIT = FP16_LARGEST / HEADROOM
SUMMED = frozenset({"neck.norm2", "side.norm2"})  # what the high tower's two paths end with
CACHED_LEAVES = ("q", "k", "v")  # their results enter the KV cache, whose type is the role's


@dataclass(frozen=True)
class WeightRange:
    """One tensor as the checkpoint has it, and how many of its values became zero."""

    name: str
    largest: float
    elements: int
    flushed: int

    @property
    def leaf(self) -> str:
        """The layer it belongs to; a table of its own is its own layer."""
        return self.name.rpartition(".")[0] or self.name

    @property
    def overflows(self) -> bool:
        return self.largest > FP16_LARGEST

    @property
    def is_faint(self) -> bool:
        """The whole tensor lies where fp16 has few digits left."""
        return 0.0 < self.largest < FP16_NORMAL


def ends_of(x: Tensor, whose: str, seen: str = "its values") -> tuple[float, float]:
    """The least and the largest, EVL-CHECKPOINT-NONFINITE where one of them is no number."""
    low, high = (float(value) for value in torch.aminmax(x))
    if -float("inf") < low <= high < float("inf"):
        return low, high
    raise EdgeVLError(
        "EVL-CHECKPOINT-NONFINITE",
        f"{whose} values that are no numbers",
        f"{seen} lie between {low} and {high}",
        "use the weights as published; these are damaged or come from a training run that diverged",
    )


class RangeWatch:
    """Looks at a tensor's pieces as they pass."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._largest = 0.0
        self._elements = 0
        self._flushed = 0

    def look(self, source: Tensor, stored: Tensor) -> None:
        low, high = ends_of(source, f"{self.name} holds")
        self._largest = max(self._largest, -low, high)
        self._elements += source.numel()
        if source.dtype != stored.dtype:
            self._flushed += int(torch.count_nonzero(source) - torch.count_nonzero(stored))

    def range(self) -> WeightRange:
        return WeightRange(self.name, self._largest, self._elements, self._flushed)


@dataclass(frozen=True)
class ActivationRange:
    """The largest values that went into and came out of one layer over all samples."""

    leaf: str
    taken: float
    given: float


def islands_from_weights(role: Role, ranges: Iterable[WeightRange]) -> frozenset[str]:
    wide = [each for each in ranges if needs_island(each)]
    # A table of relative positions is a parameter of its block, and no layer of its own.
    is_whole = any(needs_whole_role(role, name) for each in wide for name in (each.leaf, each.name))
    return frozenset({WHOLE} if is_whole else {each.leaf for each in wide})


def needs_island(weight: WeightRange) -> bool:
    # alpha and biases are added to a result: faint ones add next to nothing, with all their digits or few.
    is_addend = weight.name == "alpha" or weight.name.endswith(".bias")
    return weight.overflows or (weight.is_faint and not is_addend)


def islands_from_activations(role: Role, ranges: Iterable[ActivationRange]) -> frozenset[str]:
    """Layers that read or write more than fp16 can hold with some headroom."""
    names: set[str] = set()
    for each in ranges:
        # A norm reads the stream as it is, wide or not, so only what it gives can be too large.
        is_norm = each.leaf.rpartition(".")[2].startswith("norm")
        if max(0.0 if is_norm else each.taken, each.given) <= ACTIVATION_LIMIT:
            continue
        names.add(each.leaf)
        if each.leaf.endswith(".down") and each.taken > ACTIVATION_LIMIT:
            # Its input is a product of two layers; one of them in fp32 makes the product fp32.
            names.add(each.leaf.removesuffix("down") + "gate")
        if role == "vision_high" and each.leaf == "down1" and each.taken > ACTIVATION_LIMIT:
            names |= SUMMED  # before it is read there it is a sum of two
    return frozenset(WHOLE if needs_whole_role(role, name) else name for name in names)


def needs_whole_role(role: Role, name: str) -> bool:
    """What cannot be cured layer by layer: the cache, tables of one value for many layers, relative positions."""
    layer = name.rpartition(".")[2]
    is_cached = role == "decoder" and layer in CACHED_LEAVES
    return is_cached or layer in ("position", "alpha", "rel_h", "rel_w") or name.startswith("rope_")


def report_from_ranges(
    weights: Mapping[Role, list[WeightRange]],
    activations: Mapping[Role, list[ActivationRange]],
    islands: Mapping[Role, tuple[str, ...]],
    samples: int,
) -> dict[str, object]:
    """What `ranges.json` holds."""
    return {
        "fp16_largest": FP16_LARGEST,
        "activation_limit": ACTIVATION_LIMIT,
        "samples": samples,
        "roles": {
            role: {
                "weights": weights_report(ranges),
                "activations": activations_report(activations.get(role, [])),
                "fp32_islands": list(islands.get(role, ())),
            }
            for role, ranges in weights.items()
        },
    }


def weights_report(ranges: list[WeightRange]) -> dict[str, object]:
    largest = max(ranges, key=lambda each: each.largest)
    return {
        "largest": largest.largest,
        "largest_in": largest.name,
        "overflowing": [each.name for each in ranges if each.overflows],
        "faint": [each.name for each in ranges if each.is_faint],
        "flushed_share": sum(each.flushed for each in ranges) / sum(each.elements for each in ranges),
    }


def activations_report(ranges: list[ActivationRange]) -> dict[str, object] | None:
    if not ranges:
        return None
    largest = max(ranges, key=lambda each: max(each.taken, each.given))
    return {
        "largest": max(largest.taken, largest.given),
        "largest_in": largest.leaf,
        "layers": {each.leaf: [each.taken, each.given] for each in ranges},
    }
