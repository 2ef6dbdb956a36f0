"""A bundle whose graphs only add, in TensorRT's newest dialect: built in a second, and yet by the real compiler."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path

from edge_runtime.bundle import Bundle, write_manifest
from edge_runtime.engines.receipt import RECEIPT_NAME, Receipt, receipt_in
from tests.edge_runtime.bundle_samples import manifest_of, write_sample_files

ENGINES = ("vision_low", "adaptor", "decoder.prefill", "decoder.decode")  # in the order of their building


def write_adders(folder: Path) -> Bundle:
    manifest = manifest_of(folder, write_sample_files(folder))
    graphs = tuple(replace(entry, dialect="trt") for entry in manifest.graphs)
    write_manifest(folder, replace(manifest, graphs=graphs))
    return Bundle.open(folder)


def seen_in(shelf: Path) -> list[Path]:
    """What users see there."""
    if not shelf.exists():
        return []
    return sorted(shelf / name for name in os.listdir(shelf) if not name.startswith("."))


def leftovers_in(shelf: Path) -> list[str]:
    """Hidden names; locks stay, as they must."""
    return [name for name in os.listdir(shelf) if name.startswith(".") and not name.endswith(".lock")]


def whole_engine_in(folder: Path) -> Receipt:
    """Fails where it is not one, to the last byte."""
    receipt = receipt_in(folder)
    assert sorted(os.listdir(folder)) == sorted([receipt.plan, RECEIPT_NAME])
    plan = (folder / receipt.plan).read_bytes()
    assert (len(plan), hashlib.sha256(plan).hexdigest()) == (receipt.plan_bytes, receipt.plan_sha256)
    assert folder.name == receipt.key.folder
    return receipt


def engines_on(shelf: Path) -> dict[str, tuple[str, int, int]]:
    """All of them whole: their names, and what would change if one were built again."""
    found = {}
    for folder in seen_in(shelf):
        receipt = whole_engine_in(folder)
        status = (folder / receipt.plan).stat()
        found[receipt.key.name] = (folder.name, status.st_ino, status.st_mtime_ns)
    return found
