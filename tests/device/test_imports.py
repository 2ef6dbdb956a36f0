"""The runtime where torch, transformers and the onnx packages cannot be imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BLOCKED = ("torch", "transformers", "onnx", "onnxscript", "onnx_ir", "safetensors")
BLOCKER = f"""
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {BLOCKED!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Blocker())
"""


class Device:
    """Runs Python as on a device: the workbench's packages are there and cannot be imported."""

    def __init__(self, folder: Path) -> None:
        (folder / "sitecustomize.py").write_text(BLOCKER)
        self.environment = os.environ | {"PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}

    def python(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *arguments]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)


@pytest.fixture
def device(tmp_path: Path) -> Device:
    return Device(tmp_path)


@pytest.mark.parametrize("name", BLOCKED)
def test_the_blocker_blocks(device: Device, name: str) -> None:
    done = device.python("-c", f"import {name}")
    assert done.returncode != 0
    assert "ModuleNotFoundError" in done.stderr


def test_a_question_about_a_picture_is_answered(
    device: Device, run_arguments: Sequence[str], workbench_ids: list[int]
) -> None:
    done = device.python("-m", "edge_vl", *run_arguments)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])
    assert answer["token_ids"] == workbench_ids
    assert answer["usage"]["image_tokens"] > 0


def test_a_bundle_is_verified(device: Device, bundle: Path) -> None:
    done = device.python("-m", "edge_vl", "verify", str(bundle), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["passed"] is True


def test_the_public_names_can_be_imported(device: Device) -> None:
    done = device.python("-c", "import edge_vl; print([getattr(edge_vl, name) for name in edge_vl.__all__])")
    assert done.returncode == 0, done.stderr


def test_an_export_says_that_it_needs_the_workbench(device: Device, tmp_path: Path) -> None:
    done = device.python("-m", "edge_vl", "export", str(tmp_path), str(tmp_path / "out"))
    assert done.returncode == 2
    assert "EVL-WORKBENCH-MISSING" in done.stderr
    assert "pip install" in done.stderr
