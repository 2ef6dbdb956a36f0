"""The room as it is on a board: no torch, no onnx, and perhaps no TensorRT."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import export.engines
from export.engines.request import BuildRequest

ROOT = Path(__file__).resolve().parents[3]
WORKBENCH = ("torch", "transformers", "onnx", "onnxscript", "onnx_ir", "safetensors", "ml_dtypes")
BLOCKER = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {names!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Blocker())
"""


class Board:
    """Runs Python where some packages cannot be imported; so do the processes that it starts."""

    def __init__(self, folder: Path, *blocked: str) -> None:
        folder.mkdir()
        (folder / "sitecustomize.py").write_text(BLOCKER.format(names=blocked))
        self.environment = os.environ | {"PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}

    def python(self, *lines: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", "\n".join(lines)]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)


def build(request: BuildRequest) -> tuple[str, ...]:
    profile = "Profile('rows', {'x': ShapeRange((1, 256), (8, 256), (64, 256))})"
    arguments = f"'decoder', {request.engine!r}, {request.onnx!r}, {request.plan!r}, ({profile},)"
    return (
        "from pathlib import Path",
        "from export.engines.compiler import build_engine",
        "from export.engines.inspector import report_from_plan",
        "from export.engines.request import BuildRequest",
        "from export.engines.shapes import Profile, ShapeRange",
        f"report = build_engine(BuildRequest({arguments}))",
        "print(report_from_plan(Path(report.plan)).profiles[0].products_by_types())",
    )


@pytest.mark.parametrize("name", WORKBENCH)
def test_the_blocker_blocks(tmp_path: Path, name: str) -> None:
    done = Board(tmp_path / "board", *WORKBENCH).python(f"import {name}")
    assert "ModuleNotFoundError" in done.stderr


def test_every_module_of_the_room_can_be_imported(tmp_path: Path) -> None:
    names = sorted(path.stem for path in Path(export.engines.__path__[0]).glob("[a-z]*.py"))
    assert "builder" in names
    assert "inspector" in names
    blocked = (*WORKBENCH, "tensorrt", "tensorrt_rtx")
    done = Board(tmp_path / "board", *blocked).python(*(f"import export.engines.{name}" for name in names))
    assert done.returncode == 0, done.stderr


def test_an_engine_is_built_and_inspected_without_the_workbench(product: BuildRequest, rtx: None) -> None:
    done = Board(Path(product.plan).parent / "board", *WORKBENCH).python(*build(product))
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "{'half x half': 1}"


def test_a_missing_library_is_named_by_the_process_that_missed_it(product: BuildRequest) -> None:
    done = Board(Path(product.plan).parent / "board", "tensorrt_rtx").python(*build(product))
    assert done.returncode != 0
    assert "EVL-ENGINE-MISSING" in done.stderr
    assert "edge-vl[tensorrt" in done.stderr
    assert not Path(product.plan).exists()
