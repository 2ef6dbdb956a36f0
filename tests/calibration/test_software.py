"""Which software calibrates."""

from __future__ import annotations

from pathlib import Path

import onnx_ir as ir
import pytest

from calibration import software
from calibration.calibrate import key_of
from calibration.recipe import Recipe
from calibration.samples import SampleSet
from calibration.software import digest_of_sources
from edge_runtime.bundle import Bundle
from tests.proof.subject import bundle_below, session_folder


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return Bundle.open(bundle_below(session_folder(tmp_path_factory), "plain"))


def package_below(folder: Path, **files: str) -> Path:
    folder.mkdir()
    for name, content in files.items():
        (folder / f"{name}.py").write_text(content)
    return folder


def test_pieces_of_other_sources_are_of_another_calibration(
    source: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = {key_of(source, Recipe(), SampleSet(()), 1)}
    for name, content in (("before", "x = 1\n"), ("after", "x = 2\n")):
        monkeypatch.setattr(software, "OWN", package_below(tmp_path / name, rounding=content))
        keys.add(key_of(source, Recipe(), SampleSet(()), 1))
    assert len(keys) == 3


def test_pieces_of_another_onnx_ir_are_of_another_calibration(
    source: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = key_of(source, Recipe(), SampleSet(()), 1)
    monkeypatch.setattr(ir, "__version__", "0.0.1")
    assert key_of(source, Recipe(), SampleSet(()), 1) != before


def test_sources_are_told_apart_by_names_and_content(tmp_path: Path) -> None:
    folders = [
        package_below(tmp_path / "one", a="x", b="y"),
        package_below(tmp_path / "two", a="y", b="x"),
        package_below(tmp_path / "three", a="x", c="y"),
        package_below(tmp_path / "same", a="x", b="y"),
    ]
    digests = [digest_of_sources(folder) for folder in folders]
    assert digests[0] == digests[3] and len(set(digests)) == 3
