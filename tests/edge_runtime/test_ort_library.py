from __future__ import annotations

import sys
from dataclasses import replace
from importlib.abc import MetaPathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

import onnxruntime
import pytest

from edge_runtime.backends.ort import OrtBackend
from edge_runtime.backends.ort_library import imported_onnxruntime
from edge_runtime.bundle import Bundle
from edge_runtime.dialects import Dialect
from edge_runtime.errors import EdgeVLError
from edge_runtime.manifest import Port
from tests.proof.subject import bundle_below, session_folder


class Finder(MetaPathFinder):
    """In whose hands the import of ONNX Runtime ends so."""

    def __init__(self, error: ImportError) -> None:
        self.error = error

    def find_spec(self, name: str, path: Any, target: ModuleType | None = None) -> None:
        if name == "onnxruntime":
            raise self.error


def end_import(monkeypatch: pytest.MonkeyPatch, error: ImportError) -> None:
    monkeypatch.delitem(sys.modules, "onnxruntime", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Finder(error), *sys.meta_path])


def test_a_library_that_is_not_there_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    end_import(monkeypatch, ModuleNotFoundError("No module named 'onnxruntime'"))
    with pytest.raises(EdgeVLError) as caught:
        imported_onnxruntime()
    assert (caught.value.code, caught.value.fix) == ("EVL-ENGINE-MISSING", "pip install 'edge-vl[cpu]'")


def test_a_signal_in_the_middle_of_the_import_is_a_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    error = ImportError("initialization failed")  # as the bindings turn whatever came while they began
    error.__cause__ = KeyboardInterrupt()
    end_import(monkeypatch, error)
    with pytest.raises(KeyboardInterrupt):
        imported_onnxruntime()


def bundle_of_bytes(folder: Path, dialect: Dialect) -> Bundle:
    """Its decoder says that its caches are bytes."""
    bundle = Bundle.open(bundle_below(folder, "plain", dialect=dialect))

    def narrow(ports: tuple[Port, ...]) -> tuple[Port, ...]:
        return tuple(replace(p, dtype="int8") if p.name.startswith("past_key") else p for p in ports)

    graphs = [
        replace(each, inputs=narrow(each.inputs)) if each.role == "decoder" else each
        for each in bundle.manifest.graphs
    ]
    return Bundle(bundle.folder, replace(bundle.manifest, graphs=tuple(graphs)))


@pytest.mark.parametrize("version", ["1.23.2", "1.24.1", "1.9.0", "0.99.1+cu126"])
def test_a_cache_of_bytes_is_refused_by_what_cannot_open_it_before_a_session_is_opened(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    monkeypatch.setattr("edge_runtime.backends.ort.session_from_file", None)
    monkeypatch.setattr(onnxruntime, "__version__", version)
    backend = OrtBackend(bundle_of_bytes(session_folder(tmp_path_factory), "ort"))
    for ask in (backend.check, lambda: backend.decoder(1, 16), lambda: backend.session("decoder")):
        with pytest.raises(EdgeVLError) as caught:
            ask()
        error = caught.value
        assert (error.code, error.what) == ("EVL-ENGINE-CACHE", "this bundle's cache is 8-bit")
        assert error.why == f"ONNX Runtime {version} is installed; 1.25 is needed"
        assert error.fix == "update onnxruntime, or calibrate again without --kv int8"


@pytest.mark.parametrize(
    ("version", "dialect"),
    [("1.25.0", "ort"), ("1.31.1", "ort"), ("2.0.0rc1", "ort"), ("home-made", "ort"), ("1.23.2", "trt10")],
)
def test_a_cache_of_bytes_is_left_to_what_may_open_it(
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    version: str,
    dialect: Dialect,
) -> None:
    monkeypatch.setattr(onnxruntime, "__version__", version)
    OrtBackend(bundle_of_bytes(session_folder(tmp_path_factory), dialect), dialect=dialect).check()


def test_a_cache_of_floats_is_opened_by_any_version(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnxruntime, "__version__", "1.23.2")
    OrtBackend(Bundle.open(bundle_below(session_folder(tmp_path_factory), "plain"))).decoder(1, 16)
