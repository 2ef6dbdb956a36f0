from __future__ import annotations

import sys
from importlib.abc import MetaPathFinder
from types import ModuleType
from typing import Any

import pytest

from edge_runtime.backends.ort_library import imported_onnxruntime
from edge_runtime.errors import EdgeVLError


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
