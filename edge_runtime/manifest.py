"""The manifest: what a bundle holds, every file with its size and hash, checked when made."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, cast

from edge_runtime.dialects import Dialect, Precision
from edge_runtime.errors import EdgeVLError
from edge_runtime.record import bytes_from_json, json_from_record
from edge_runtime.spec import ModelSpec, Role, check, check_positive

FloatType = Literal["float32", "float16"]
TableType = Literal["float32", "float16", "int8"]
TABLE_PRECISIONS: dict[TableType, Precision] = {"float32": "fp32", "float16": "fp16", "int8": "int8"}

PAST, PRESENT = "past_key_values.", "present."  # what the names of a decoder's caches begin with, in and out
NEEDS_SCALES = {True: "need scales", False: "have no scales"}

FORMAT = 1
MANIFEST_NAME = "edge-vl.json"
ENGINES = "engines"  # a folder beside it: built on the spot, and no part of the bundle
QUALITY_NAME = "quality.json"  # of a quantised bundle: what it cost
TOKENIZER_NAME = "tokenizer.json"

# Names that every file system takes and that mean themselves to every engine: a colon is a drive on
# Windows, and ONNX Runtime reads memory, not a file, at the location "*/_ORT_MEM_ADDR_/*".
PART = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9._+-]{0,198}[A-Za-z0-9_+-])?")
SHA256 = re.compile(r"[0-9a-f]{64}")
PATH_LIMIT = 1024

DTYPE_BITS = {
    "float64": 64, "float32": 32, "float16": 16, "bfloat16": 16,
    "int64": 64, "int32": 32, "int16": 16, "int8": 8, "int4": 4, "int2": 2,
    "uint64": 64, "uint32": 32, "uint16": 16, "uint8": 8, "uint4": 4, "uint2": 2,
    "bool": 8, "complex64": 64, "complex128": 128,
    "float8e4m3fn": 8, "float8e4m3fnuz": 8, "float8e5m2": 8, "float8e5m2fnuz": 8, "float8e8m0": 8,
    "float4e2m1": 4, "string": 0,
}  # fmt: skip


def path_fault(path: str) -> str:
    """Why a path from a manifest or graph may not be used; empty when it may."""
    if len(path) > PATH_LIMIT:
        return f"the path is longer than {PATH_LIMIT} letters"
    if path.startswith("/"):
        return f"the path {path!r} is absolute"
    parts = path.split("/")
    if ".." in parts:
        return f"the path {path!r} leaves its folder"
    if all(PART.fullmatch(part) for part in parts):
        return ""
    return f"the path {path!r} is not made of plain names (letters, digits, . _ + -) joined by /"


def check_path(path: str) -> None:
    fault = path_fault(path)
    check(not fault, fault)


def check_unique(names: Iterable[str], what: str) -> None:
    seen: set[str] = set()
    for name in names:
        check(name not in seen, f"{what} {name!r} is there twice")
        seen.add(name)


@dataclass(frozen=True)
class FileEntry:
    path: str  # relative to the manifest, POSIX
    bytes: int
    sha256: str

    def __post_init__(self) -> None:
        check_path(self.path)
        check(self.path != MANIFEST_NAME, "the manifest cannot list itself")
        check(self.bytes >= 0, f"the size of {self.path!r} is negative")
        check(SHA256.fullmatch(self.sha256) is not None, f"the sha256 of {self.path!r} is not 64 hex digits")


@dataclass(frozen=True)
class Port:
    """One input or output of a graph; a dimension is a size or the name of a dynamic one."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]

    def __post_init__(self) -> None:
        check(bool(self.name), "an input or output has no name")
        check(self.dtype in DTYPE_BITS, f"{self.name!r} has the unknown type {self.dtype!r}")
        for dim in self.shape:
            is_good = bool(dim) if isinstance(dim, str) else dim >= 0
            check(is_good, f"{self.name!r} has the dimension {dim!r}")


@dataclass(frozen=True)
class GraphEntry:
    role: Role
    dialect: Dialect
    precision: Precision
    path: str
    opset: int
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    fp32_islands: tuple[str, ...] = ()  # layers of an fp16 graph that keep fp32; "*" is all of them

    def __post_init__(self) -> None:
        check_path(self.path)
        check(self.role != "embed", "the embedding is a table, not a graph")
        check_positive(self, "opset")
        check(bool(self.inputs) and bool(self.outputs), f"{self.path!r} needs inputs and outputs")
        check_unique((port.name for port in self.inputs), f"{self.path!r}: the input")
        check_unique((port.name for port in self.outputs), f"{self.path!r}: the output")


@dataclass(frozen=True)
class ScalesEntry:
    """One scale for each row of an int8 table: a raw little-endian array."""

    path: str
    dtype: FloatType

    def __post_init__(self) -> None:
        check_path(self.path)


@dataclass(frozen=True)
class TableEntry:
    """The embedding table: a raw little-endian array of rows × width values."""

    path: str
    dtype: TableType
    rows: int
    width: int
    scales: ScalesEntry | None = None

    def __post_init__(self) -> None:
        check_path(self.path)
        check_positive(self, "rows", "width")
        needs = self.dtype == "int8"
        check((self.scales is not None) == needs, f"embedding: {self.dtype} rows {NEEDS_SCALES[needs]}")

    @property
    def sizes(self) -> dict[str, int]:
        """Of the table's files, in bytes."""
        found = {self.path: self.rows * self.width * DTYPE_BITS[self.dtype] // 8}
        return found | (
            {self.scales.path: self.rows * DTYPE_BITS[self.scales.dtype] // 8} if self.scales else {}
        )

    @property
    def precision(self) -> Precision:
        return TABLE_PRECISIONS[self.dtype]


@dataclass(frozen=True)
class Provenance:
    """Where a bundle came from; no dates, so that the same export gives the same bytes."""

    edge_vl_version: str
    layout: str
    checkpoint_sha256: str
    torch_version: str
    onnx_version: str

    def __post_init__(self) -> None:
        is_hash = SHA256.fullmatch(self.checkpoint_sha256) is not None
        check(is_hash, "the checkpoint's sha256 is not 64 hex digits")


@dataclass(frozen=True)
class Calibration:
    """How the integers of a bundle came about. Weights alone need no samples."""

    method: Literal["rtn", "gptq", "awq"]
    observer: Literal["minmax", "percentile", "entropy", "mse"]
    samples: int
    samples_sha256: str

    def __post_init__(self) -> None:
        check(self.samples >= 0, "calibration: the number of samples is negative")
        check(SHA256.fullmatch(self.samples_sha256) is not None, "calibration: samples_sha256 is no sha256")


@dataclass(frozen=True)
class Manifest:
    format: int
    spec: ModelSpec
    max_context: int
    graphs: tuple[GraphEntry, ...]
    embedding: TableEntry
    files: tuple[FileEntry, ...]
    provenance: Provenance
    calibration: Calibration | None = None  # only quantised bundles have one
    quality: dict[str, float] | None = None  # headline figures; quality.json holds the rest

    def __post_init__(self) -> None:
        check(self.format == FORMAT, f"format {self.format} is not {FORMAT}")
        check_positive(self, "max_context")
        is_short = self.max_context <= self.spec.decoder.max_positions
        check(is_short, "max_context is more than the decoder's positions")
        # "A" and "a" are one file on half of the world's disks.
        check_unique((entry.path.lower() for entry in self.files), "files: the path")
        check(TOKENIZER_NAME in self.sizes, f"files: {TOKENIZER_NAME} is not listed")
        self.check_graphs()
        self.check_embedding()

    def check_graphs(self) -> None:
        check_unique((f"{entry.role}/{entry.dialect}" for entry in self.graphs), "graphs: the role/dialect")
        check(bool(self.graphs), "graphs: there are none")
        wanted = set(self.spec.roles) - {"embed"}
        for dialect in self.dialects:
            found = {entry.role for entry in self.graphs if entry.dialect == dialect}
            missing, extra = sorted(wanted - found), sorted(found - wanted)
            check(not missing, f"graphs: dialect {dialect} lacks {', '.join(missing)}")
            check(not extra, f"graphs: dialect {dialect} has {', '.join(extra)}, which the model has not")
        for entry in self.graphs:
            check(entry.path in self.sizes, f"graphs: {entry.path!r} is not listed in files")

    def check_embedding(self) -> None:
        table, decoder = self.embedding, self.spec.decoder
        is_fit = (table.rows, table.width) == (decoder.vocab, decoder.width)
        check(is_fit, f"embedding: {table.rows}×{table.width} is not {decoder.vocab}×{decoder.width}")
        for path, needed in table.sizes.items():
            check(path in self.sizes, f"embedding: {path!r} is not listed in files")
            size = self.sizes[path]
            check(needed == size, f"embedding: needs {needed} bytes, its file has {size}")

    @property
    def sizes(self) -> dict[str, int]:
        return {entry.path: entry.bytes for entry in self.files}

    @property
    def dialects(self) -> tuple[Dialect, ...]:
        return tuple(dict.fromkeys(entry.dialect for entry in self.graphs))


def bytes_from_manifest(manifest: Manifest) -> bytes:
    """The manifest as it is written to disk: the same bytes for the same manifest."""
    return bytes_from_json(json_from_record(manifest))


def refuse_newer_format(value: object) -> None:
    """Before anything else is read: a newer format has keys that this one would call mistakes."""
    entries = cast("dict[str, object]", value) if isinstance(value, dict) else {}
    number, provenance = entries.get("format"), entries.get("provenance")
    if type(number) is not int or number <= FORMAT:
        return
    writer = provenance.get("edge_vl_version") if isinstance(provenance, dict) else None
    version = f"edge-vl {writer}" if isinstance(writer, str) else "a newer edge-vl"
    raise EdgeVLError(
        "EVL-BUNDLE-FORMAT",
        f"the bundle has format {number}, written by {version}",
        f"the edge-vl here is too old: it reads format {FORMAT}",
        f"install {version}{' or newer' if isinstance(writer, str) else ''}, or export the bundle with the edge-vl here",
    )
