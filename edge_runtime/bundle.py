"""The bundle on disk: opened only when every file and graph is what the manifest says."""

from __future__ import annotations

import errno
import hashlib
import os
import posixpath
import stat
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_runtime.backends.backend import Array
from edge_runtime.dialects import Dialect, grammar_named
from edge_runtime.digest import sha256_by_path
from edge_runtime.errors import EdgeVLError, MachineFault
from edge_runtime.manifest import (
    ENGINES,
    MANIFEST_NAME,
    TOKENIZER_NAME,
    FileEntry,
    GraphEntry,
    Manifest,
    Port,
    TableEntry,
    path_fault,
    refuse_newer_format,
)
from edge_runtime.onnxfile import OnnxFile, Tensor
from edge_runtime.onnxreader import graph_error, onnx_file_from_path
from edge_runtime.plain_names import refuse_odd_name
from edge_runtime.progress import Progress, silent
from edge_runtime.record import bytes_from_json, json_from_bytes, json_from_record, record_from_json
from edge_runtime.spec import ModelSpec, Role
from edge_runtime.table import Int8Table, Table

MANIFEST_LIMIT = 16 << 20
SEAL_KEY = "manifest_sha256"  # besides the record: what lists every file's hash has one too
COPY_AGAIN = "copy the bundle again from where it came, or export it again"


@dataclass(frozen=True)
class Bundle:
    """A folder that was checked when it was opened. Nothing in it is written to."""

    folder: Path
    manifest: Manifest

    @classmethod
    def open(cls, path: Path | str, is_trusted: bool = False, progress: Progress = silent) -> Bundle:
        """Checks files, hashes and graphs, in this order; `is_trusted` skips the hashes and nothing else."""
        with readable(str(path)):
            folder = folder_from_path(path)
            manifest, seal = read_manifest(folder)
            for entry in manifest.files:
                check_size(folder, entry)
            if not is_trusted:
                check_hashes(folder, manifest, progress)
            bundle = cls(folder, manifest)
            for graph in manifest.graphs:
                check_graph(bundle.onnx_file(graph), graph, manifest)
            if not is_trusted:
                check_seal(seal)
        return bundle

    @property
    def spec(self) -> ModelSpec:
        return self.manifest.spec

    def unlisted(self) -> list[str]:
        """What lies in the folder besides, but for engines; nobody reads it."""
        known = {MANIFEST_NAME, *(entry.path for entry in self.manifest.files)}
        found = []
        for folder, folders, files in os.walk(self.folder):
            inside = os.path.relpath(folder, self.folder)
            if inside == ".":
                folders[:] = [name for name in folders if name != ENGINES]
            links = [name for name in folders if (Path(folder) / name).is_symlink()]
            found += [posixpath.normpath(posixpath.join(inside, name)) for name in (*files, *links)]
        return sorted(set(found) - known)

    @property
    def tokenizer_path(self) -> Path:
        return self.folder / TOKENIZER_NAME

    def graph(self, role: Role, dialect: Dialect) -> GraphEntry:
        """The graph of a role in a dialect; an EdgeVLError if the bundle was exported without the dialect."""
        for entry in self.manifest.graphs:
            if (entry.role, entry.dialect) == (role, dialect):
                return entry
        has = ", ".join(self.manifest.dialects)
        assert dialect not in self.manifest.dialects, f"a model without {role} was asked for it"
        raise EdgeVLError(
            "EVL-BUNDLE-DIALECT",
            f"the bundle has no {dialect} graphs",
            f"it was exported for {has}",
            f"export again with --dialect {has.replace(' ', '')},{dialect}",
        )

    def path_of(self, entry: GraphEntry | TableEntry | FileEntry) -> Path:
        return self.folder / entry.path

    def onnx_file(self, entry: GraphEntry) -> OnnxFile:
        return onnx_file_from_path(self.path_of(entry), entry.path)

    def embedding(self) -> Table:
        """The embedding table (rows, width), mapped read-only."""
        table = self.manifest.embedding
        values = self._mapped(table.path, table.dtype, (table.rows, table.width))
        if table.scales is None:
            return values
        return Int8Table(values, self._mapped(table.scales.path, table.scales.dtype, (table.rows,)))

    def _mapped(self, path: str, dtype: str, shape: tuple[int, ...]) -> Array:
        return np.memmap(self.folder / path, dtype=np.dtype(dtype).newbyteorder("<"), mode="r", shape=shape)


def file_entries(folder: Path, paths: Iterable[str], progress: Progress = silent) -> tuple[FileEntry, ...]:
    """Size and hash of each file, sorted by path, for a manifest."""
    sizes = {path: (folder / path).stat().st_size for path in sorted(paths)}
    digests = sha256_by_path(folder, sizes, progress)
    return tuple(FileEntry(path, size, digests[path]) for path, size in sizes.items())


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """The last file of a bundle; never replaces one."""
    value = json_from_record(manifest)
    sealed = value | {SEAL_KEY: digest_of(value)}
    with (folder / MANIFEST_NAME).open("xb") as file:
        file.write(bytes_from_json(sealed))


@contextmanager
def readable(where: str) -> Iterator[None]:
    """What the system says while a bundle is read becomes an error with a remedy."""
    try:
        yield
    except OSError as fault:
        kind = MachineFault if fault.errno == errno.EIO else EdgeVLError
        what, why = (
            f"the bundle {where} cannot be read",
            f"{fault.strerror}: {fault.filename or 'a file in it'}",
        )
        raise kind("EVL-BUNDLE-MISSING", what, why, "check the path, its permissions and the disk") from fault


def folder_from_path(path: Path | str) -> Path:
    """The bundle's folder with the links on the way to it resolved; inside it there may be none."""
    if "\0" in str(path) or not Path(path).is_dir():
        why = (
            "there is no such folder"
            if "\0" in str(path) or not Path(path).exists()
            else "it is not a folder"
        )
        raise EdgeVLError(
            "EVL-BUNDLE-MISSING", f"{path} is not a bundle", why, "give the folder that export wrote"
        )
    folder = Path(os.path.realpath(path, strict=True))
    refuse_odd_name(folder, "EVL-FOLDER-NAME")
    return folder


@dataclass(frozen=True)
class Seal:
    """The manifest's own sha256: nothing else would notice a flipped bit in its prompt or its means.

    It is of the keys that were written, so that a version that knows more of them still finds it whole.
    """

    said: object  # None where the manifest was written by hand
    found: str


def digest_of(value: object) -> str:
    return hashlib.sha256(bytes_from_json(value)).hexdigest()


def read_manifest(folder: Path) -> tuple[Manifest, Seal]:
    """The manifest and the seal on it."""
    size = regular_size(folder, MANIFEST_NAME)
    if size > MANIFEST_LIMIT:
        why = f"it has {size} bytes, at most {MANIFEST_LIMIT} are read"
        raise EdgeVLError("EVL-BUNDLE-MANIFEST", f"{MANIFEST_NAME} is not valid", why, COPY_AGAIN)
    with (folder / MANIFEST_NAME).open("rb") as file:
        value = json_from_bytes(file.read(MANIFEST_LIMIT), MANIFEST_NAME)
    said = value.pop(SEAL_KEY, None) if isinstance(value, dict) else None
    refuse_newer_format(value)
    return record_from_json(Manifest, value, MANIFEST_NAME), Seal(said, digest_of(value))


def regular_size(folder: Path, path: str) -> int:
    """The size of a regular file reached from `folder` without following any link."""
    place = folder
    for part in path.split("/"):
        place = place / part
        try:
            found = place.lstat()
        except (FileNotFoundError, NotADirectoryError):
            raise missing_error(path, "it is not there") from None
        if stat.S_ISLNK(found.st_mode):
            why = f"{place.relative_to(folder)} is a symbolic link"
            raise EdgeVLError("EVL-BUNDLE-EXTERNAL", f"{path} may lie outside the bundle", why, COPY_AGAIN)
    if not stat.S_ISREG(found.st_mode):
        raise missing_error(path, "it is not a regular file")
    return found.st_size


def missing_error(path: str, why: str) -> EdgeVLError:
    return EdgeVLError("EVL-BUNDLE-MISSING", f"the bundle lacks {path}", why, COPY_AGAIN)


def check_size(folder: Path, entry: FileEntry) -> None:
    size = regular_size(folder, entry.path)
    if size != entry.bytes:
        why = f"it has {size} bytes, the manifest says {entry.bytes}"
        raise EdgeVLError("EVL-BUNDLE-SIZE", f"{entry.path} is damaged", why, COPY_AGAIN)


def check_hashes(folder: Path, manifest: Manifest, progress: Progress) -> None:
    digests = sha256_by_path(folder, manifest.sizes, progress)
    for entry in manifest.files:
        if digests[entry.path] != entry.sha256:
            why = f"its sha256 is {digests[entry.path][:16]}…, the manifest says {entry.sha256[:16]}…"
            raise EdgeVLError("EVL-BUNDLE-HASH", f"{entry.path} is damaged", why, COPY_AGAIN)


def check_seal(seal: Seal) -> None:
    if seal.said not in (None, seal.found):
        why = f"its sha256 is {seal.found[:16]}…, its seal says {seal.said!r:.18}…"
        raise EdgeVLError("EVL-BUNDLE-HASH", f"{MANIFEST_NAME} is damaged", why, COPY_AGAIN)


def check_graph(onnx_file: OnnxFile, entry: GraphEntry, manifest: Manifest) -> None:
    """Opset, ports and external data are as the manifest says, operators as the dialect allows."""
    for opsets in (onnx_file.opsets, *(function.opsets for function in onnx_file.functions)):
        opset = opsets.get("", entry.opset)
        if opset != entry.opset or "" not in onnx_file.opsets:
            raise graph_error(entry.path, f"it has opset {opset}, the manifest says {entry.opset}")
    check_ports(entry.path, "input", onnx_file.inputs, entry.inputs)
    check_ports(entry.path, "output", onnx_file.outputs, entry.outputs)
    for tensor in onnx_file.tensors:
        if tensor.external is not None and (fault := external_fault(tensor, entry.path, manifest.sizes)):
            what = f"the tensor {tensor.name!r} of {entry.path} does not lie in the bundle"
            raise EdgeVLError("EVL-BUNDLE-EXTERNAL", what, fault, COPY_AGAIN)
    check_operators(onnx_file, grammar_named(entry.dialect).operators, entry.path)


def check_ports(path: str, kind: str, found: tuple[Port, ...], wanted: tuple[Port, ...]) -> None:
    if len(found) != len(wanted):
        raise graph_error(path, f"it has {len(found)} {kind}s, the manifest says {len(wanted)}")
    for one, other in zip(found, wanted, strict=True):
        if one != other:
            raise graph_error(path, f"its {kind} is {port_words(one)}, the manifest says {port_words(other)}")


def port_words(port: Port) -> str:
    return f"{port.name} {port.dtype}[{', '.join(map(str, port.shape))}]"


def external_fault(tensor: Tensor, graph_path: str, sizes: Mapping[str, int]) -> str:
    """Why a tensor's bytes may not be read from where it says; empty when they may."""
    assert tensor.external is not None, "only for tensors outside their file"
    place = tensor.external
    if fault := path_fault(place.location):
        return fault
    path = posixpath.join(posixpath.dirname(graph_path), place.location)
    if path not in sizes:
        return f"{path} is not listed in the manifest"
    if tensor.dtype == "string":
        return "text cannot lie outside a graph"
    length = tensor.nbytes if place.length is None else place.length
    if length != tensor.nbytes:
        return f"it says {length} bytes, {tensor.dtype} {list(tensor.dims)} needs {tensor.nbytes}"
    if place.offset + length > sizes[path]:
        return f"it ends at byte {place.offset + length} of {path}, which has {sizes[path]}"
    return ""


def check_operators(onnx_file: OnnxFile, allowed: Mapping[str, AbstractSet[str]], where: str) -> None:
    """Every operator, functions and subgraphs included, is in `allowed` (domain to names) or a local function."""
    local = {function.operator for function in onnx_file.functions}
    strangers = {
        node.operator: node.name
        for node in onnx_file.nodes
        if node.op_type not in allowed.get(node.domain, ()) and node.operator not in local
    }
    if strangers:
        names = ", ".join(f"{operator} (node {name!r})" for operator, name in sorted(strangers.items())[:5])
        raise graph_error(
            where, f"it has {len(strangers)} kinds of operator its dialect does not allow: {names}"
        )
