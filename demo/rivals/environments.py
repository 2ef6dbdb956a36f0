"""The rivals' own environments, so that nothing of theirs is ever among what we need."""

from __future__ import annotations

import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

from edge_runtime.errors import EdgeVLError


@dataclass(frozen=True)
class Environment:
    """`steps` are what pip is given, one line after the other."""

    name: str
    version_of: str  # the distribution that competes
    steps: tuple[tuple[str, ...], ...]


ENGINE = ("onnx==1.23.2", "onnxruntime==1.31.1", "numpy==2.4.6")
ONNXRUNTIME = Environment("onnxruntime", "onnxruntime", ((*ENGINE, "onnx-ir", "sympy"),))
MODELOPT = Environment(
    "modelopt",
    "nvidia-modelopt",
    (
        (*ENGINE, "torch==2.13.0"),
        # Its extra would take older libraries than the ones above, and a build of ONNX Runtime that wants a GPU.
        (
            "--no-deps",
            "nvidia-modelopt==0.47.0",
            "onnx-graphsurgeon",
            "polygraphy",
            "onnxslim",
            "onnxconverter-common",
            "lief",
            "cppimport",
        ),
        (
            "ninja",
            "nvidia-ml-py",
            "omegaconf",
            "pulp<4",
            "scipy",
            "mako",
            "pybind11",
            "colorama",
            "tqdm",
            "filelock",
            "setuptools>=80",
            "pydantic",
            "regex",
            "rich",
            "safetensors",
            "onnxscript==0.7.2",
        ),
    ),
)
STAMP = ".whole"  # made when all of it is there
ENVIRONMENTS = {each.name: each for each in (ONNXRUNTIME, MODELOPT)}


def python_of(environment: Environment, folder: Path) -> Path:
    """Its interpreter, in `folder`, where it is made unless it is there."""
    home = folder / environment.name
    python, whole = home / "bin" / "python", home / STAMP
    if not whole.exists():
        venv.create(home, with_pip=True, clear=True)  # half of one is begun anew
        for step in environment.steps:
            install(python, step)
        whole.touch()
    return python


def install(python: Path, step: tuple[str, ...]) -> None:
    command = [str(python), "-m", "pip", "install", "--quiet", *step]
    done = subprocess.run(command, stdout=sys.stderr, check=False)
    if done.returncode:
        what, why = "a rival cannot be installed", f"pip ended with status {done.returncode}"
        raise EdgeVLError("EVL-RIVAL", what, why, "see the lines above")


def version_of(environment: Environment, folder: Path) -> str:
    words = f"from importlib.metadata import version; print(version({environment.version_of!r}))"
    python = python_of(environment, folder)
    return subprocess.run([python, "-c", words], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
