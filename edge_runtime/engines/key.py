"""Everything that decides what an engine is; with another key it is another engine."""

from __future__ import annotations

import hashlib
import posixpath
from dataclasses import dataclass

from edge_runtime.bundle import Bundle
from edge_runtime.dialects import Dialect
from edge_runtime.engines.place import Place, json_from_place
from edge_runtime.manifest import SHA256, GraphEntry, check_path
from edge_runtime.record import bytes_from_json, json_from_record
from edge_runtime.spec import Role, check

DIGITS = 16  # of the digest, in names of folders
FLAGS = "strongly typed, detailed, memory of ours"  # what every engine is built with; another way to build is another text


@dataclass(frozen=True)
class EngineKey:
    """`graph_sha256` is of the graph and its weights, `shapes` says what it was built to be fed with, `flags` how.
    `context` is how many tokens a decoder's cache holds and `longest` how many it takes at once, 0 for other graphs."""

    name: str
    role: Role
    dialect: Dialect
    graph_sha256: str
    shapes: str
    context: int
    longest: int
    flags: str
    place: Place

    def __post_init__(self) -> None:
        check_path(self.name)
        check("/" not in self.name, "an engine's name is no path")
        check(SHA256.fullmatch(self.graph_sha256) is not None, "the sha256 of the graph is not 64 hex digits")

    @property
    def digest(self) -> str:
        told = {**json_from_record(self), "place": json_from_place(self.place)}
        return hashlib.sha256(bytes_from_json(told)).hexdigest()

    @property
    def oldness(self) -> str:
        """How it was built, in words, where it is no longer done so."""
        if self.flags == FLAGS:
            return ""
        return f"was built with {self.flags or 'no flags'!r}, this edge-vl builds with {FLAGS!r}"

    @property
    def folder(self) -> str:
        return f"{self.name}-{self.digest[:DIGITS]}"

    def strangeness(self, other: EngineKey) -> str:
        """Why an engine with the other key is not this one, in words; the first reason counts."""
        reasons = (
            (self.name != other.name or self.role != other.role, f"it is the engine {other.name}"),
            (self.dialect != other.dialect, f"it was built from the {other.dialect} graph"),
            (
                (self.place.engine, self.place.version) != (other.place.engine, other.place.version),
                f"it was built by {other.place.title}, here is {self.place.title}",
            ),
            (
                self.place.gpu != other.place.gpu,
                f"it was built for {other.place.target}, here is {self.place.target}",
            ),
            (self.graph_sha256 != other.graph_sha256, "it was built from another graph, or other weights"),
            (self.context != other.context, f"it was built for {other.context} tokens"),
            (self.longest != other.longest, f"it takes {other.longest} tokens at once"),
            (self.shapes != other.shapes, "it was built for other shapes"),
            (self.flags != other.flags, f"it was built with {other.flags or 'no flags'}"),
        )
        return next((words for is_so, words in reasons if is_so), "")


def digest_of_graph(bundle: Bundle, entry: GraphEntry) -> str:
    """From what the manifest says of the graph's file and of those that hold its weights, checked or trusted as the bundle was."""
    folder = posixpath.dirname(entry.path)
    tensors = bundle.onnx_file(entry).tensors
    beside = {posixpath.join(folder, each.external.location) for each in tensors if each.external}
    digests = {each.path: each.sha256 for each in bundle.manifest.files}
    every = [digests[entry.path], *(f"{path} {digests[path]}" for path in sorted(beside))]
    return hashlib.sha256("\n".join(every).encode()).hexdigest()
