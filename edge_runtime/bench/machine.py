"""Where figures were taken: the machine and the versions of what ran on it."""

from __future__ import annotations

import os
import platform
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL

from edge_runtime.backends.ort_library import imported_onnxruntime
from edge_runtime.errors import EdgeVLError
from edge_runtime.memory import memory_kb
from edge_runtime.spec import check, check_positive
from edge_runtime.version import VERSION

MODEL_NAME = re.compile(r"^model name\s*:\s*(.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Machine:
    """`cores` are those this process may use, `memory_mib` is all there is."""

    cpu: str
    architecture: str
    cores: int
    memory_mib: int
    system: str

    def __post_init__(self) -> None:
        check_positive(self, "cores", "memory_mib")
        check(bool(self.cpu), "the machine's processor has no name")


@dataclass(frozen=True)
class Versions:
    edge_vl: str
    python: str
    numpy: str
    pillow: str
    onnxruntime: str | None  # None: not installed, nor needed by the engine that was used


def machine_here(proc: Path = Path("/proc")) -> Machine:
    return Machine(
        cpu=cpu_name(proc),
        architecture=platform.machine(),
        cores=core_count(),
        memory_mib=memory_kb(proc)["MemTotal"] >> 10,
        system=f"{platform.system()} {platform.release()}",
    )


def versions_here() -> Versions:
    try:
        onnxruntime = imported_onnxruntime().__version__
    except EdgeVLError:
        onnxruntime = None
    return Versions(
        edge_vl=VERSION,
        python=platform.python_version(),
        numpy=np.__version__,
        pillow=PIL.__version__,
        onnxruntime=onnxruntime,
    )


def cpu_name(proc: Path) -> str:
    """As the kernel says; ARM boards name the board instead."""
    if found := MODEL_NAME.search((proc / "cpuinfo").read_text()):
        return found.group(1).strip()
    board = proc / "device-tree" / "model"
    if board.is_file():
        return board.read_text().strip("\0\n ")
    return platform.processor() or platform.machine()


def core_count() -> int:
    return len(os.sched_getaffinity(0))
