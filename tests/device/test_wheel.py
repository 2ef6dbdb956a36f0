"""The wheel in an environment of its own: the device's Python, its locked packages, and nothing of the workbench."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import tomllib

ROOT = Path(__file__).resolve().parents[2]
NOT_SOURCES = (
    ".git",
    ".venv",
    "build",
    "dist",
    "*.egg-info",
    "__pycache__",
    ".*_cache",
    ".hypothesis",
    ".cache",
)
OFFLINE_SIGNS = (
    "No matching distribution",
    "Could not find a version",
    "ConnectionError",
    "Max retries",
    "timed out",
)


def settings() -> dict[str, object]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, so that no build folder of an earlier day can slip in."""
    there = tmp_path_factory.mktemp("wheel")
    shutil.copytree(ROOT, there / "source", ignore=shutil.ignore_patterns(*NOT_SOURCES))
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(there)]
    done = subprocess.run([*command, str(there / "source")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (found,) = there.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    return set(zipfile.ZipFile(wheel).namelist())


def test_the_wheel_holds_the_packages_of_pyproject_and_no_others(names: set[str]) -> None:
    packages = {name.rpartition("/")[0].replace("/", ".") for name in names if name.endswith(".py")}
    assert packages == set(settings()["packages"])  # type: ignore[call-overload]


def test_every_source_file_is_in_the_wheel(names: set[str]) -> None:
    for package in settings()["packages"]:  # type: ignore[attr-defined]
        folder = ROOT / package.replace(".", "/")
        wanted = {path.relative_to(ROOT).as_posix() for path in folder.glob("*.py")}
        assert wanted <= names, wanted - names


def test_what_a_package_reads_is_in_the_wheel(names: set[str]) -> None:
    """Whatever lies beside its sources, or in a folder of theirs that is no package."""
    packages = {str(package).replace(".", "/") for package in settings()["packages"]}  # type: ignore[attr-defined]
    tracked = subprocess.run(
        ["git", "ls-files", *packages], cwd=ROOT, capture_output=True, text=True, check=True
    )
    wanted = {name for name in tracked.stdout.splitlines() if not name.endswith((".py", ".md", ".sh"))}
    assert wanted <= names, wanted - names


def test_there_are_no_tests_in_the_wheel(names: set[str]) -> None:
    assert not [name for name in names if "test" in name.lower()]


def test_every_room_says_that_it_is_typed(names: set[str]) -> None:
    rooms = {str(package).partition(".")[0] for package in settings()["packages"]}  # type: ignore[attr-defined]
    assert {f"{room}/py.typed" for room in rooms} <= names


def test_the_licence_is_in_the_wheel(names: set[str]) -> None:
    assert [name for name in names if name.endswith("LICENSE") and ".dist-info/" in name]


@dataclass(frozen=True)
class Device:
    """An environment with the locked packages and the wheel."""

    bin: Path
    version: str  # of Python

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
        return subprocess.run(
            [str(self.bin / command[0]), *command[1:]],
            env=environment, cwd=self.bin, capture_output=True, text=True, check=False,
        )  # fmt: skip


def device_python() -> Path:
    """Python 3.10 where there is one, as on the boards; else the one that runs the tests."""
    found = shutil.which("python3.10")
    places = [Path(found)] if found else []
    for place in [*places, *(Path.home() / ".pyenv/versions").glob("3.10*/bin/python")]:
        asked = [str(place), "-c", "import sys, venv; print(sys.version_info[:2] == (3, 10))"]
        done = subprocess.run(asked, capture_output=True, text=True, check=False)
        if done.stdout.strip() == "True":
            return place
    return Path(sys.executable)


@pytest.fixture(scope="module")
def device(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Device:
    folder = tmp_path_factory.mktemp("device") / "venv"
    subprocess.run([str(device_python()), "-m", "venv", str(folder)], capture_output=True, check=True)
    python = str(folder / "bin" / "python")
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    version = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    lock = ROOT / "requirements" / f"device-{version}.txt"
    pip = [python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    done = subprocess.run(
        [*pip, "--require-hashes", "-r", str(lock)], capture_output=True, text=True, check=False
    )
    is_offline = any(sign in done.stderr for sign in OFFLINE_SIGNS)
    if done.returncode != 0 and is_offline and not os.environ.get("CI"):
        pytest.skip(f"pip cannot reach the packages of {lock.name}: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    subprocess.run([*pip, "--no-deps", "--no-index", str(wheel)], capture_output=True, check=True)
    return Device(folder / "bin", version)


def test_the_device_has_nothing_of_the_workbench(device: Device) -> None:
    for name in ("torch", "transformers", "onnx", "onnxscript", "pytest"):
        assert device.run("python", "-c", f"import {name}").returncode != 0, name


def test_the_locked_packages_are_what_the_wheel_asks_for(device: Device) -> None:
    done = device.run("python", "-m", "pip", "check")
    assert done.returncode == 0, done.stdout


def test_the_device_answers_with_the_workbenchs_tokens(
    device: Device, run_arguments: Sequence[str], workbench_ids: list[int]
) -> None:
    done = device.run("edge-vl", *run_arguments)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])
    assert answer["token_ids"] == workbench_ids, device.version
    assert answer["engine"] == "onnxruntime"


def test_the_device_verifies_the_bundle(device: Device, bundle: Path) -> None:
    done = device.run("edge-vl", "verify", str(bundle), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["passed"] is True


def test_every_device_room_can_be_imported(device: Device) -> None:
    code = (
        "import importlib, pkgutil, sys\n"
        "names = []\n"
        "for room in ('edge_runtime', 'jetson', 'export.engines', 'edge_vl'):\n"
        "    package = importlib.import_module(room)\n"
        "    names += [each.name for each in pkgutil.walk_packages(package.__path__, room + '.')]\n"
        "for name in names:\n"
        "    name == 'edge_vl.__main__' or importlib.import_module(name)\n"
        "print(len(names))\n"
    )
    done = device.run("python", "-W", "error", "-c", code)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 20
