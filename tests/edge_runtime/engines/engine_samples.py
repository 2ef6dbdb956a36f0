"""Bundles that engines are built of, and whole engines of them on a shelf; nothing in those can run."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from edge_runtime.bundle import Bundle, file_entries
from edge_runtime.dialects import Dialect, Precision
from edge_runtime.engines.key import FLAGS, EngineKey, digest_of_graph
from edge_runtime.engines.place import Place
from edge_runtime.engines.shelf import Shelf
from edge_runtime.manifest import GraphEntry, Port
from edge_runtime.spec import Role
from tests.edge_runtime.bundle_samples import ROLES, manifest_of, sample_entry, write_sample_files
from tests.edge_runtime.engines.test_key import PLACE
from tests.edge_runtime.engines.test_shelf import put

CONTEXT = 64
CACHE = Port("past_key_values.0.key", "float16", ("batch", 2, "capacity", 4))


def bundle_with(
    folder: Path,
    dialects: tuple[Dialect, ...] = ("ort", "trt10"),
    precision: Precision = "fp16",
    changed: tuple[Role, ...] = (),
    cache: Port = CACHE,
) -> Bundle:
    """Of the sample model; the roles in `changed` have other weights."""
    paths = write_sample_files(folder)
    for role in changed:
        weights = folder / f"ort/{role}.data"
        weights.write_bytes(bytes(weights.stat().st_size))
    graphs = tuple(entry_of(role, dialect, precision, cache) for dialect in dialects for role in ROLES)
    manifest = dataclasses.replace(manifest_of(folder, paths), graphs=graphs)
    return Bundle(folder, dataclasses.replace(manifest, files=file_entries(folder, paths)))


def entry_of(role: Role, dialect: Dialect, precision: Precision, cache: Port) -> GraphEntry:
    entry = dataclasses.replace(sample_entry(role), dialect=dialect, precision=precision)
    return dataclasses.replace(entry, inputs=(*entry.inputs, cache)) if role == "decoder" else entry


def key_for(bundle: Bundle, name: str, context: int = 0, longest: int = 0, place: Place = PLACE) -> EngineKey:
    """Of the bundle's graph for the role that the engine's name begins with."""
    (role,) = (role for role in ROLES if name.partition(".")[0] == role)
    dialect: Dialect = "trt" if place.engine == "tensorrt-rtx" else "trt10"
    digest = digest_of_graph(bundle, bundle.graph(role, dialect))
    return EngineKey(name, role, dialect, digest, "x (1, 8)", context, longest, FLAGS, place)


def put_towers(bundle: Bundle, shelf: Shelf, place: Place = PLACE) -> None:
    for name in ("vision_low", "adaptor"):
        put(shelf, key_for(bundle, name, place=place))


def put_pair(bundle: Bundle, shelf: Shelf, context: int = CONTEXT, place: Place = PLACE) -> None:
    """A decoder in two engines."""
    put(shelf, key_for(bundle, "decoder.prefill", context, 32, place))
    put(shelf, key_for(bundle, "decoder.decode", context, 1, place))


def put_all(bundle: Bundle, shelf: Shelf, place: Place = PLACE) -> None:
    put_towers(bundle, shelf, place)
    put_pair(bundle, shelf, place=place)
