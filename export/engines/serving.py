"""How a bundle will be served, and the shapes its engines are therefore built for."""

from __future__ import annotations

from dataclasses import dataclass

from edge_runtime.manifest import GraphEntry, Port
from export.engines.shapes import Profile, Shape, ShapeRange

PREFILL, DECODE = "prefill", "decode"
MOST_PREFILL = 1024
# Share of a prefill's tokens that kernels are chosen for: one picture and a question of the longest prompt.
USUAL = 0.625


@dataclass(frozen=True)
class Serving:
    """`batch` rows decode together; a longer prompt than `prefill_tokens` is fed in pieces."""

    context: int
    batch: int = 1
    prefill_tokens: int = MOST_PREFILL

    def __post_init__(self) -> None:
        if min(self.context, self.batch, self.prefill_tokens) < 1:
            raise ValueError(f"nothing can be served so: {self}")

    @property
    def longest_piece(self) -> int:
        return min(self.prefill_tokens, self.context)


@dataclass(frozen=True)
class EngineShape:
    """One engine to be made of a graph. A graph without dynamic dimensions has no profiles."""

    name: str
    profiles: tuple[Profile, ...]


def engines_from_graph(entry: GraphEntry, serving: Serving) -> tuple[EngineShape, ...]:
    """One engine a tower, and two for a decoder: two profiles of one plan hold the float weights of its layers twice,
    and building them together takes the memory of both."""
    if entry.role != "decoder":
        profile = profile_from_ports(entry.role, entry.inputs, serving, (1, 1, serving.batch), (1, 1, 1))
        return (EngineShape(entry.role, (profile,)),)
    longest = serving.longest_piece
    usual = max(1, round(longest * USUAL))
    every = (
        profile_from_ports(PREFILL, entry.inputs, serving, (1, 1, serving.batch), (1, usual, longest)),
        profile_from_ports(DECODE, entry.inputs, serving, (1, serving.batch, serving.batch), (1, 1, 1)),
    )
    return tuple(EngineShape(f"{entry.role}.{profile.name}", (profile,)) for profile in every)


def profile_from_ports(
    name: str, ports: tuple[Port, ...], serving: Serving, batch: Shape, sequence: Shape
) -> Profile:
    """`batch` and `sequence` are least, usual and most."""
    sizes = {
        "batch": batch,
        "sequence": sequence,
        "rows": (1, 1, 1),
        "capacity": (serving.context,) * 3,
    }
    dynamic = [port for port in ports if any(isinstance(dim, str) for dim in port.shape)]
    return Profile(name, {port.name: range_from_port(port, sizes) for port in dynamic})


def range_from_port(port: Port, sizes: dict[str, Shape]) -> ShapeRange:
    def shape(index: int) -> Shape:
        return tuple(sizes[dim][index] if isinstance(dim, str) else dim for dim in port.shape)

    return ShapeRange(shape(0), shape(1), shape(2))
