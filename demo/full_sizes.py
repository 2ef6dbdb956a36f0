"""What quantised files must at least take: weights counted from the model's shape, not from its files."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

from edge_runtime.bundle import Bundle
from edge_runtime.dialects import Dialect
from edge_runtime.manifest import GraphEntry
from edge_runtime.spec import ModelSpec, Role, SamSpec, SiglipSpec

HALF_BITS = 16
BITS = {"fp16": HALF_BITS, "int8": 8, "w8a8": 8, "int4": 4 + HALF_BITS / 128}  # a half for every 128 weights
COLOURS = 3


@dataclass(frozen=True)
class Weights:
    """Of one role: those of products with a stored matrix, and all others."""

    products: int
    others: int

    def nbytes(self, choice: str) -> float:
        """Others stay halves."""
        return (self.products * BITS[choice] + self.others * HALF_BITS) / 8


def weights_of(spec: ModelSpec) -> dict[Role, Weights]:
    found: dict[Role, Weights] = {"vision_low": siglip_weights(spec.low), "adaptor": adaptor_weights(spec)}
    if spec.high is not None:
        found["vision_high"] = sam_weights(spec.high)
    decoder = spec.decoder
    heads = (2 * decoder.heads + 2 * decoder.kv_heads) * decoder.head_dim
    each = decoder.width * (heads + 3 * decoder.mlp_width)
    found["decoder"] = Weights(decoder.layers * each, (2 * decoder.layers + 1) * decoder.width)
    return found


def head_weights(spec: ModelSpec) -> Weights:
    """The last layer of the decoder, which is asked for on its own."""
    return Weights(spec.decoder.width * spec.decoder.vocab, 0)


def embedding_bytes(spec: ModelSpec) -> int:
    return spec.decoder.width * spec.decoder.vocab * HALF_BITS // 8


def siglip_weights(tower: SiglipSpec) -> Weights:
    grid = tower.image_size // tower.patch_size
    return Weights(
        block_products(tower) * tower.layers,
        patch_weights(tower) + grid**2 * tower.width + block_others(tower) * tower.layers + 2 * tower.width,
    )


def sam_weights(tower: SamSpec) -> Weights:
    grid, head = tower.image_size // tower.patch_size, tower.width // tower.heads
    spans = [grid if block in tower.global_blocks else tower.window for block in range(tower.layers)]
    positions = sum(2 * (2 * span - 1) * head for span in spans)
    neck = tower.width * tower.neck_width + 9 * tower.neck_width**2 + 4 * tower.neck_width
    widths = (tower.neck_width, *tower.down_widths)
    downs = sum(9 * before * after for before, after in pairwise(widths))
    table = grid**2 * tower.width
    blocks = block_others(tower) * tower.layers
    others = patch_weights(tower) + table + blocks + positions + 2 * neck + downs + 1
    return Weights(block_products(tower) * tower.layers, others)


def patch_weights(tower: SiglipSpec | SamSpec) -> int:
    return COLOURS * tower.patch_size**2 * tower.width + tower.width


def block_products(tower: SiglipSpec | SamSpec) -> int:
    return 4 * tower.width**2 + 2 * tower.width * tower.mlp_width


def block_others(tower: SiglipSpec | SamSpec) -> int:
    """Shifts of four products, and two norms."""
    return 5 * tower.width + tower.mlp_width + 4 * tower.width


def adaptor_weights(spec: ModelSpec) -> Weights:
    adaptor = spec.adaptor
    first = (adaptor.low_width + adaptor.high_width) * adaptor.width
    if adaptor.high_width:
        first //= 2  # each tower's half of the width
    return Weights(first + (adaptor.depth - 1) * adaptor.width**2, adaptor.depth * adaptor.width)


def file_bytes(bundle: Bundle, entry: GraphEntry) -> int:
    """The graph and its data files."""
    folder = posixpath.dirname(entry.path)
    places = [each.external for each in bundle.onnx_file(entry).tensors if each.external is not None]
    names = {entry.path, *(posixpath.join(folder, place.location) for place in places)}
    return sum((bundle.folder / name).stat().st_size for name in names)


def size_records(bundle: Bundle, dialect: Dialect, choices: Mapping[str, str]) -> list[dict[str, object]]:
    """By role, of files of one dialect; `choices` say what vision, decoder and head became. The embedding comes last."""
    spec, records = bundle.spec, list[dict[str, object]]()
    for role, weights in weights_of(spec).items():
        least = weights.nbytes(choices["decoder" if role == "decoder" else "vision"])
        if role == "decoder":
            least += head_weights(spec).nbytes(choices["head"])
        records.append(size_record(role, least, file_bytes(bundle, bundle.graph(role, dialect))))
    table = bundle.path_of(bundle.manifest.embedding).stat().st_size
    records.append(size_record("embed", embedding_bytes(spec), table))
    return [*records, total_of(records)]


def size_record(role: str, least: float, found: int) -> dict[str, object]:
    return {"role": role, "arithmetic": round(least), "bytes": found, "ratio": round(found / least, 4)}


def total_of(records: list[dict[str, object]]) -> dict[str, object]:
    least, found = (sum(int(str(each[name])) for each in records) for name in ("arithmetic", "bytes"))
    return size_record("all", least, found)
