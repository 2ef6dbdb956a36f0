"""What a bench found, whole: enough to write a table of it years later. Its JSON is strict both ways."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from edge_runtime.bench.gates import Gate
from edge_runtime.bench.machine import Machine, Versions
from edge_runtime.bench.spread import Spread
from edge_runtime.bundle import Bundle
from edge_runtime.errors import EdgeVLError
from edge_runtime.memory import MemoryUse
from edge_runtime.record import json_from_bytes, json_from_record, record_from_json
from edge_runtime.spec import check, check_positive

FORMAT = 1
KIND: Final = "edge-vl bench"
REPORT_CODE = "EVL-BENCH-REPORT"


@dataclass(frozen=True)
class Shape:
    """The model, as far as its speed depends on it."""

    family: str
    towers: tuple[str, ...]
    image_tokens: int
    layers: int
    width: int
    heads: int
    kv_heads: int
    head_dim: int
    mlp_width: int
    vocab: int
    max_context: int
    bundle_bytes: int


@dataclass(frozen=True)
class LoadTimes:
    """`library_ms` is importing ONNX Runtime, once a process and not in the total; None where it is not installed. Files may be in
    the page cache."""

    library_ms: float | None
    hashing_ms: Spread | None  # None: --trust-bundle
    structure_ms: Spread
    tokenizer_ms: Spread
    sessions_ms: Spread
    total_ms: Spread


@dataclass(frozen=True)
class StageTimes:
    """From the pictures to the first token. `vision_high_ms` is None without a SAM tower."""

    decode_image_ms: Spread
    preprocess_ms: Spread
    vision_high_ms: Spread | None
    vision_low_ms: Spread
    adaptor_ms: Spread
    tokenize_ms: Spread
    prefill_ms: Spread
    sample_ms: Spread
    other_ms: Spread


@dataclass(frozen=True)
class Stream:
    """Weights and KV cache that one decoded token reads, and how fast they came: share of the bandwidth."""

    bytes_per_token: int
    gb_per_s: float
    fraction: float

    def __post_init__(self) -> None:
        check_positive(self, "bytes_per_token")
        check(min(self.gb_per_s, self.fraction) >= 0, "nothing is streamed backwards")


@dataclass(frozen=True)
class AnswerTimes:
    """`cold_first_token_ms` is the first answer's after loading, which no other figure counts."""

    pictures: tuple[str, ...]  # width x height
    prompt_tokens: int
    image_tokens: int
    new_tokens: int
    cold_first_token_ms: float
    stages: StageTimes
    first_token_ms: Spread
    decode_tokens_per_s: Spread
    stream: Stream | None  # None: not on the CPU, whose bandwidth is what was measured


@dataclass(frozen=True)
class ContextTimes:
    """A prompt of `context` tokens, and decoding the `steps` tokens that end there."""

    context: int
    steps: int
    prefill_ms: Spread
    prefill_tokens_per_s: float
    decode_tokens_per_s: Spread
    stream: Stream | None


@dataclass(frozen=True)
class Memory:
    """Of `process`: after the first load, and the peak from before it to the last measured token."""

    process: Literal["the bench process itself"]
    sampled_every_ms: int
    loaded: MemoryUse
    peak: MemoryUse


@dataclass(frozen=True)
class Energy:
    """Of whole answers, from the pictures to the last token, and of everything else that `meter` feeds meanwhile."""

    meter: str
    answer_j: Spread
    watts: Spread


@dataclass(frozen=True)
class Report:
    kind: Literal["edge-vl bench"]
    format: int
    bundle: str  # the folder's name
    command: str
    date: str
    engine: str
    precision: dict[str, str]
    machine: Machine
    versions: Versions
    load_average: float  # of the minute before: what else the machine was doing
    bandwidth_gb_per_s: Spread  # of reading; the highest is what fractions are of
    shape: Shape
    load: LoadTimes
    answer: AnswerTimes
    contexts: tuple[ContextTimes, ...]
    skipped_contexts: tuple[int, ...]  # longer than the bundle's max_context
    memory: Memory
    energy: Energy | None = None  # None: no meter that may be read
    gates: tuple[Gate, ...] = ()

    def __post_init__(self) -> None:
        check(self.format == FORMAT, f"format {self.format} is not {FORMAT}")

    def to_json(self) -> dict[str, object]:
        return json_from_record(self)


def report_from_bytes(data: bytes, where: str) -> Report:
    """The report in a JSON file, or an EdgeVLError that names the key that is wrong."""
    return record_from_json(Report, json_from_bytes(data, where, REPORT_CODE), where, REPORT_CODE)


def report_from_file(path: Path) -> Report:
    try:
        return report_from_bytes(path.read_bytes(), path.name)
    except OSError as fault:
        what, fix = f"the report {path} cannot be read", "check the path and its permissions"
        raise EdgeVLError(REPORT_CODE, what, f"{fault.strerror}", fix) from fault


def shape_from_bundle(bundle: Bundle) -> Shape:
    spec, decoder = bundle.spec, bundle.spec.decoder
    return Shape(
        family=spec.family,
        towers=tuple(role for role in spec.roles if role.startswith("vision_")),
        image_tokens=spec.image_tokens,
        layers=decoder.layers,
        width=decoder.width,
        heads=decoder.heads,
        kv_heads=decoder.kv_heads,
        head_dim=decoder.head_dim,
        mlp_width=decoder.mlp_width,
        vocab=decoder.vocab,
        max_context=bundle.manifest.max_context,
        bundle_bytes=sum(bundle.manifest.sizes.values()),
    )


def stream_at(bytes_per_token: int, tokens_per_s: float, ceiling_gb_per_s: float) -> Stream:
    gb_per_s = bytes_per_token * tokens_per_s / 1e9
    return Stream(bytes_per_token, round(gb_per_s, 6), round(gb_per_s / ceiling_gb_per_s, 6))
