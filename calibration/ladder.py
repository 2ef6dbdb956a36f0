"""What a layer can become, from the least bytes to float, and what each of these takes and costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from calibration.decision import Decision, Float, Int4, Int8, decision_for_shape
from calibration.excerpt import EXCERPTS, SHORT_BYTES
from calibration.layer import Layer, layers_from_graph
from calibration.plan import Decisions
from edge_runtime.bundle import Bundle
from edge_runtime.dialects import Precision
from edge_runtime.manifest import MANIFEST_NAME
from edge_runtime.onnxfile import next_page
from edge_runtime.spec import Role

NODE_BYTES = 1024  # what a quantised product's new nodes take of a graph, at most
REPORT_BYTES = 1024  # the same for a layer in the report

BITS: Mapping[type, Precision] = {Int4: "int4", Int8: "int8"}
Mix = Mapping[Role, Decisions]


@dataclass(frozen=True)
class Matrix:
    """The weight of a layer in one graph, or a part of it where it is split."""

    rows: int
    columns: int
    item_bytes: int

    def tensors(self, asked: Decision) -> tuple[int, ...]:
        """The sizes of what is stored: the weight, or integers and scales."""
        decision, count = decision_for_shape(asked, self.rows, self.columns), self.rows * self.columns
        if isinstance(decision, Float):
            return (count * self.item_bytes,)
        if isinstance(decision, Int4):
            return count // 2, count // decision.block * self.item_bytes
        return count, self.columns * self.item_bytes

    def bytes_in_bundle(self, asked: Decision) -> int:
        """Every tensor begins on a page; integers bring nodes. Rounded up, so that a sum is never too small."""
        sizes = self.tensors(asked)
        return sum(next_page(size) for size in sizes) + NODE_BYTES * (len(sizes) > 1)


Matrices = Mapping[Role, Mapping[str, tuple[Matrix, ...]]]  # of all dialects and parts


@dataclass(frozen=True)
class Rung:
    decision: Decision
    bytes: int
    damage: float  # in nats a token, when the layer alone has come down to here


@dataclass(frozen=True)
class Ladder:
    """One layer's rungs, lowest first; the last is float, which costs nothing."""

    role: Role
    layer: str
    rungs: tuple[Rung, ...]

    def __post_init__(self) -> None:
        sizes = [each.bytes for each in self.rungs]
        assert self.rungs and isinstance(self.rungs[-1].decision, Float) and self.rungs[-1].damage == 0, self
        assert sizes == sorted(set(sizes)), f"{self.layer}: a higher rung takes more bytes"
        assert all(each.damage >= 0 for each in self.rungs), f"{self.layer}: a damage is no damage"


def decisions_below_float(asked: Decision) -> tuple[Decision, ...]:
    """What is asked for, and what lies between it and float."""
    if isinstance(asked, Float):
        return ()
    return (asked, Int8()) if isinstance(asked, Int4) else (asked,)


def ladder_from(
    role: Role, layer: str, matrices: Sequence[Matrix], damages: Mapping[Decision, float]
) -> Ladder:
    """Of what is below float, in order of size; what takes no less than something higher is left out."""

    def size(decision: Decision) -> int:
        return sum(each.bytes_in_bundle(decision) for each in matrices)

    rungs = [Rung(Float(), size(Float()), 0.0)]
    for decision, damage in reversed(list(damages.items())):
        if size(decision) < rungs[0].bytes:
            rungs.insert(0, Rung(decision, size(decision), damage))
    return Ladder(role, layer, tuple(rungs))


def matrices_of(bundle: Bundle) -> Matrices:
    """Every layer that could be quantised, with its weights in all of the bundle's graphs."""
    found: dict[Role, dict[str, tuple[Matrix, ...]]] = {}
    for entry in bundle.manifest.graphs:
        layers = found.setdefault(entry.role, {})
        for layer in layers_from_graph(ir.load(bundle.path_of(entry)).graph):
            layers[layer.name] = (*layers.get(layer.name, ()), matrix_of(layer))
    return found


def matrix_of(layer: Layer) -> Matrix:
    return Matrix(layer.rows, layer.columns, layer.dtype.numpy().itemsize)


def precision_of(
    layers: Mapping[str, Sequence[Matrix]], decisions: Decisions, before: Precision
) -> Precision:
    """Of most of a role's weights; `before` is what float ones have."""
    counts: dict[Precision, int] = {before: 0}
    for name, matrices in layers.items():
        for each in matrices:
            decision = decision_for_shape(decisions.get(name, Float()), each.rows, each.columns)
            kind: Precision = before if isinstance(decision, Float) else BITS[type(decision)]
            counts[kind] = counts.get(kind, 0) + each.rows * each.columns
    return max(counts, key=lambda kind: counts[kind])


def fixed_bytes(bundle: Bundle, matrices: Matrices, ladders: Sequence[Ladder]) -> int:
    """What a bundle takes besides the layers of the ladders, rounded up."""
    weights = sum(
        size for each in ladders for one in matrices[each.role][each.layer] for size in one.tensors(Float())
    )
    whole = sum(entry.bytes for entry in bundle.manifest.files)
    whole += (bundle.folder / MANIFEST_NAME).stat().st_size
    reports = REPORT_BYTES * (64 + sum(len(layers) for layers in matrices.values()))
    return whole - weights + reports + EXCERPTS * SHORT_BYTES
