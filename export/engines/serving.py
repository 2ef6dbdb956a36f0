"""How a bundle will be served, and the shapes its engines are therefore built for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edge_runtime.dialects import Precision
from edge_runtime.errors import EdgeVLError
from edge_runtime.manifest import PAST, GraphEntry, Port
from export.engines.shapes import Profile, Shape, ShapeRange

PREFILL, DECODE = "prefill", "decode"
MOST_PREFILL = 1024
# Share of a prefill's tokens that kernels are chosen for: one picture and a question of the longest prompt.
USUAL = 0.625
# Where a product has one row in every call, TensorRT-RTX 1.7 unpacks its 8-bit weights with a kernel of its
# own: of the 1.3B 419 MB for the head and 2.3 GB for the layers, written and read again at every token. Where a
# profile allows two rows, the product unpacks them itself.
FEWEST_OPEN_ROWS = 2
INTEGERS: frozenset[Precision] = frozenset(("int4", "int8"))
CAPACITY_AXIS = 2


@dataclass(frozen=True)
class Serving:
    """`batch` sequences decode together; a longer prompt than `prefill_tokens` is fed in pieces.

    A step is asked for the logits of at most `logit_rows` tokens of each: of the last one, or of several to
    check a guess. Engines of integer weights allow at least two.
    """

    context: int
    batch: int = 1
    prefill_tokens: int = MOST_PREFILL
    logit_rows: int = 1

    def __post_init__(self) -> None:
        if min(self.context, self.batch, self.prefill_tokens, self.logit_rows) < 1:
            raise ValueError(f"nothing can be served so: {self}")

    @property
    def longest_piece(self) -> int:
        return min(self.prefill_tokens, self.context)


@dataclass(frozen=True)
class EngineShape:
    """One engine to be made of a graph. A graph without dynamic dimensions has no profiles."""

    name: str
    profiles: tuple[Profile, ...]


def check_serving(serving: Serving, max_context: int) -> None:
    """EVL-CONTEXT-LIMIT where the bundle, exported for `max_context` tokens, cannot be served so."""
    if serving.context > max_context:
        what, why = f"a context of {serving.context} tokens cannot be served", f"the bundle has {max_context}"
        fix = "lower the context, or export the bundle again with a higher --max-context"
        raise EdgeVLError("EVL-CONTEXT-LIMIT", what, why, fix)


def engines_from_graph(
    entry: GraphEntry, serving: Serving, has_shared_weights: bool = False, has_byte_layers: bool = False
) -> tuple[EngineShape, ...]:
    """One engine a tower. A decoder has two profiles: in one engine if they share the weights there, else in two.

    Without sharing one plan would hold the weights of its layers twice, and take the memory of two builds at once.
    Layers of 8-bit weights and floats are left room for a second token in a step.
    """
    if entry.role != "decoder":
        profile = profile_from_sizes(entry.role, entry.inputs, {"batch": (1, 1, serving.batch)})
        return (EngineShape(entry.role, (profile,)),)
    profiles = decoder_profiles(entry, serving, FEWEST_OPEN_ROWS if has_byte_layers else 1)
    if has_shared_weights:
        return (EngineShape(entry.role, profiles),)
    return tuple(EngineShape(f"{entry.role}.{profile.name}", (profile,)) for profile in profiles)


def decoder_profiles(entry: GraphEntry, serving: Serving, most_decoded: int) -> tuple[Profile, Profile]:
    longest = min([serving.longest_piece, *static_capacities(entry)])
    usual = max(1, round(longest * USUAL))
    both = {"rows": logit_rows(entry.precision, serving), "capacity": (serving.context,) * 3}
    prefill = {"batch": (1, 1, serving.batch), "sequence": (1, usual, longest)}
    decode = {"batch": (1, serving.batch, serving.batch), "sequence": (1, 1, most_decoded)}
    return (
        profile_from_sizes(PREFILL, entry.inputs, both | prefill),
        profile_from_sizes(DECODE, entry.inputs, both | decode),
    )


def static_capacities(entry: GraphEntry) -> list[int]:
    """Of caches that are as long as the export made them, whatever is served: a piece must fit into each."""
    sizes = [port.shape[CAPACITY_AXIS] for port in entry.inputs if port.name.startswith(PAST)]
    return [size for size in sizes if isinstance(size, int)]


def reach_of(entry: GraphEntry, shape: EngineShape) -> tuple[int, int]:
    """How many tokens an engine's cache holds, and how many it takes at once; zeros of graphs that have no cache."""
    if entry.role != "decoder":
        return 0, 0
    inputs = [profile.inputs for profile in shape.profiles]
    built = [each[f"{PAST}0.key"].maximum[CAPACITY_AXIS] for each in inputs if f"{PAST}0.key" in each]
    taken = [each["inputs_embeds"].maximum[1] for each in inputs if "inputs_embeds" in each]
    return min([*static_capacities(entry), *built], default=0), max(taken, default=0)


def logit_rows(precision: Precision, serving: Serving) -> Shape:
    """Floats gain nothing from a second row; with one alone a decoding engine has no shape left open."""
    most = max(serving.logit_rows, FEWEST_OPEN_ROWS) if precision in INTEGERS else serving.logit_rows
    return (1, 1, most)


def profile_from_sizes(name: str, ports: tuple[Port, ...], sizes: Mapping[str, Shape]) -> Profile:
    """`sizes` of dynamic dimensions are least, usual and most."""
    dynamic = [port for port in ports if any(isinstance(dim, str) for dim in port.shape)]
    return Profile(name, {port.name: range_from_port(port, sizes) for port in dynamic})


def range_from_port(port: Port, sizes: Mapping[str, Shape]) -> ShapeRange:
    def shape(index: int) -> Shape:
        return tuple(sizes[dim][index] if isinstance(dim, str) else dim for dim in port.shape)

    return ShapeRange(shape(0), shape(1), shape(2))
