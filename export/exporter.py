"""A checkpoint folder in, a bundle folder out; no weight is held longer than it takes to write it."""

from __future__ import annotations

import hashlib
import math
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from edge_runtime.bundle import file_entries, write_manifest
from edge_runtime.dialects import Dialect, FloatPrecision, grammar_named
from edge_runtime.errors import EdgeVLError, listed, one_line
from edge_runtime.manifest import (
    FORMAT,
    TOKENIZER_NAME,
    GraphEntry,
    Manifest,
    Provenance,
    TableEntry,
    TableType,
    path_fault,
)
from edge_runtime.progress import Progress, silent
from edge_runtime.publish import check_free_space, staged_folder
from edge_runtime.record import bytes_from_json
from edge_runtime.spec import DecoderSpec, ModelSpec, Role
from edge_runtime.tokenizer import Tokenizer
from edge_runtime.version import VERSION
from export.checkpoint import LICENCE_LIMIT_BYTES, Checkpoint
from export.config import spec_from_checkpoint
from export.dialects.spellings import check_sayable, form_from_dialect, spelling_from_dialect
from export.graphfile import ports_of, write_graph, write_table
from export.islands import Islands, widen
from export.layouts.detect import layout_from_checkpoint
from export.modules.head import column_ranges, part_of_head
from export.modules.llama import rope_tables
from export.modules.role import module_from_role
from export.options import ExportOptions, context_from_options
from export.probe import activation_ranges
from export.ranges import (
    ActivationRange,
    WeightRange,
    islands_from_activations,
    islands_from_weights,
    report_from_ranges,
)
from export.signature import signature_from_role
from export.trace import Signature, trace
from export.weights import WeightPlan, plan_from_checkpoint

DTYPES: dict[FloatPrecision, torch.dtype] = {"fp32": torch.float32, "fp16": torch.float16}
TABLE_PATH = "embed.bin"
RANGES_NAME = "ranges.json"
SLACK_BYTES = 64 << 20  # graphs, tokenizer, manifest


def untold(_: str) -> None:
    """Where nobody reads notes."""


def export_bundle(
    checkpoint_path: Path,
    out: Path,
    options: ExportOptions = ExportOptions(),
    progress: Progress = silent,
    note: Callable[[str], None] = untold,
) -> Manifest:
    """Writes the bundle `out`, which must not exist. Whatever happens, `out` is whole or absent.

    `note` hears what is worth knowing of a licence that was not copied as it is.
    """
    with Checkpoint.open(checkpoint_path) as checkpoint:
        spec = spec_from_checkpoint(checkpoint)
        for dialect in options.dialects:
            check_sayable(dialect, spec)
        plan = plan_from_checkpoint(checkpoint, spec)
        # What the runtime cannot read, or not ask, is refused here, not on the device.
        context = context_from_options(spec, Tokenizer.open(checkpoint.tokenizer_path), options)
        with staged_folder(out) as folder:
            return Export(checkpoint, spec, plan, options, context, folder, progress, note).run()


class Export:
    """One export under way."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        spec: ModelSpec,
        plan: WeightPlan,
        options: ExportOptions,
        context: int,
        folder: Path,
        progress: Progress,
        note: Callable[[str], None],
    ) -> None:
        self.checkpoint = checkpoint
        self.spec = spec
        self.plan = plan
        self.options = options
        self.context = context
        self.folder = folder
        self.progress = progress
        self.note = note
        self.dtype = DTYPES[options.precision]
        self.total = self._total_bytes()
        self.done = 0
        self.weights: dict[Role, dict[str, WeightRange]] = {}
        self.activations: dict[Role, list[ActivationRange]] = {}
        self.islands: dict[Role, Islands] = {}

    def run(self) -> Manifest:
        check_free_space(self.folder.parent, self.total + SLACK_BYTES)
        self._copy_texts()
        if self.options.precision == "fp16" and self.options.samples:
            self._measure()
        table = self._write_table()
        graphs = tuple(
            self._write_graph(role, dialect)
            for dialect in self.options.dialects
            for role in self.spec.roles
            if role != "embed"
        )
        self._write_report()
        manifest = Manifest(
            format=FORMAT,
            spec=self.spec,
            max_context=self.context,
            graphs=graphs,
            embedding=table,
            files=file_entries(self.folder, self._written(), self._hashing),
            provenance=self._provenance(),
        )
        write_manifest(self.folder, manifest)
        return manifest

    def _copy_texts(self) -> None:
        shutil.copyfile(self.checkpoint.tokenizer_path, self.folder / TOKENIZER_NAME)
        taken: set[str] = set()
        for licence in self.checkpoint.licence_paths:
            name = plain_name(licence.name)
            # "LICENSE.txt" and "LICENSE.TXT" are one file on half of the world's disks.
            while name.lower() in taken:
                name = plain_name(f"other_{name}")
            taken.add(name.lower())
            shutil.copyfile(licence, self.folder / name)
            if name != licence.name:
                self.note(one_line(f"{licence.name!r:.100} is {name} in the bundle"))
        if huge := self.checkpoint.huge_licence_names:
            limit = LICENCE_LIMIT_BYTES >> 20
            self.note(one_line(f"not taken for licences, being larger than {limit} MiB: {listed(huge)}"))

    def _measure(self) -> None:
        tokenizer = Tokenizer.open(self.checkpoint.tokenizer_path)
        self.activations = activation_ranges(
            self.spec, self.plan, tokenizer, self.options.samples, self.progress
        )
        self.islands = {
            role: Islands(islands_from_activations(role, ranges)) for role, ranges in self.activations.items()
        }

    def _write_table(self) -> TableEntry:
        decoder = self.spec.decoder
        with (self.folder / TABLE_PATH).open("wb") as file:
            weight = self.plan.read("embed", "weight")
            ranges = write_table(weight, file, self.dtype, self._ticker("writing embed"))
        self.weights["embed"] = {ranges.name: ranges}
        if self.dtype == torch.float16 and (ranges.overflows or ranges.is_faint):
            raise EdgeVLError(
                "EVL-EXPORT-RANGE",
                "the embedding table does not fit fp16",
                f"its largest value is {ranges.largest:.3g}",
                "export with --precision fp32",
            )
        name: TableType = "float32" if self.dtype == torch.float32 else "float16"
        return TableEntry(TABLE_PATH, name, decoder.vocab, decoder.width)

    def _write_graph(self, role: Role, dialect: Dialect) -> GraphEntry:
        """Written again with more islands when the weights turn out not to fit; that is rare."""
        islands = self.islands.get(role, Islands())
        while True:
            before = self.done
            form = form_from_dialect(dialect, self.context)
            signature = signature_from_role(role, self.spec, self.dtype, islands, form)
            path = self._written_graph(role, dialect, signature, islands)
            found = islands | self._islands_of_weights(role)
            if found == islands or islands.is_whole:
                break
            islands, self.done = found, before
        self.islands[role] = islands
        inputs, outputs = ports_of(signature)
        opset = grammar_named(dialect).opset
        precision: FloatPrecision = "fp32" if islands.is_whole else self.options.precision
        return GraphEntry(
            role, dialect, precision, path.as_posix(), opset, inputs, outputs, islands.in_order()
        )

    def _written_graph(self, role: Role, dialect: Dialect, signature: Signature, islands: Islands) -> Path:
        self.progress(f"tracing {role}", self.done, self.total)
        spelling, form = spelling_from_dialect(dialect), form_from_dialect(dialect, self.context)

        def build() -> nn.Module:
            module = module_from_role(role, self.spec, spelling, islands.base(self.dtype), form)
            return widen(module, islands)

        traced = trace(build, signature, grammar_named(dialect).opset)
        path = Path("graphs", dialect, f"{role}.onnx")
        (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
        for stale in (self.folder / path).parent.glob(f"{role}*.data"):
            stale.unlink()  # of a first try with fewer islands
        read = reader_of(self.plan, role, self.spec.decoder, form.head_parts)
        ranges = write_graph(traced, self.folder / path, read, self._ticker(f"writing {role}"))
        # Dialects cut some weights otherwise: those of all of them are told.
        self.weights.setdefault(role, {}).update({each.name: each for each in ranges})
        return path

    def _islands_of_weights(self, role: Role) -> frozenset[str]:
        if self.dtype != torch.float16:
            return frozenset()
        return islands_from_weights(role, self.weights[role].values())

    def _write_report(self) -> None:
        islands = {role: found.in_order() for role, found in self.islands.items()}
        samples = len(self.options.samples) if self.activations else 0
        weights = {role: list(ranges.values()) for role, ranges in self.weights.items()}
        report = report_from_ranges(weights, self.activations, islands, samples)
        (self.folder / RANGES_NAME).write_bytes(bytes_from_json(report))

    def _ticker(self, label: str) -> Callable[[int], None]:
        def tick(count: int) -> None:
            self.done += count
            self.progress(label, min(self.done, self.total), self.total)

        return tick

    def _hashing(self, _: str, done: int, total: int) -> None:
        self.progress("hashing", done, total)

    def _total_bytes(self) -> int:
        dialects = len(self.options.dialects)
        counts = {role: elements_of_role(self.plan, role) for role in self.spec.roles}
        copies = {role: 1 if role == "embed" else dialects for role in self.spec.roles}
        return sum(counts[role] * copies[role] for role in self.spec.roles) * self.dtype.itemsize

    def _written(self) -> list[str]:
        files = (path for path in self.folder.rglob("*") if path.is_file())
        names = (path.relative_to(self.folder) for path in files)
        return [name.as_posix() for name in names if not name.name.startswith(".")]

    def _provenance(self) -> Provenance:
        import onnx

        return Provenance(
            edge_vl_version=VERSION,
            layout=layout_from_checkpoint(self.checkpoint).name,
            checkpoint_sha256=fingerprint(self.checkpoint),
            torch_version=torch.__version__,
            onnx_version=onnx.__version__,
        )


def plain_name(name: str) -> str:
    """A name that a manifest takes, as "LICENSE (1).txt" is not."""
    plain = re.sub(r"[^A-Za-z0-9._+-]+", "_", name).strip("._-")
    return "LICENSE" if path_fault(plain) else plain


def elements_of_role(plan: WeightPlan, role: Role) -> int:
    return sum(math.prod(source.shape) for source in plan.sources[role].values())


def reader_of(plan: WeightPlan, role: Role, decoder: DecoderSpec, head_parts: int) -> Callable[[str], Tensor]:
    """The role's parameters by name; the decoder's rotary tables are made here, not stored."""

    def read(name: str) -> Tensor:
        if role == "decoder" and (part := part_of_head(name)) is not None:
            start, stop = column_ranges(decoder.vocab, head_parts)[part]
            return plan.read(role, "head.weight")[:, start:stop]
        if role == "decoder" and name in ("rope_cos", "rope_sin"):
            cos, sin = rope_tables(decoder, decoder.max_positions)
            return cos if name == "rope_cos" else sin
        return plan.read(role, name)

    return read


def fingerprint(checkpoint: Checkpoint) -> str:
    """Says which checkpoint this was: its config and every tensor's name, type, shape and first values."""
    digest = hashlib.sha256((checkpoint.path / "config.json").read_bytes())
    for name in sorted(checkpoint.tensors):
        info = checkpoint.tensors[name]
        digest.update(f"{name} {info.dtype} {list(info.shape)}\n".encode())
        head = checkpoint.read(name).reshape(-1)[:64].to(torch.float32)
        digest.update(head.numpy().tobytes())
    return digest.hexdigest()
