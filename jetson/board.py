"""`python -m jetson.board`: what this machine is, as far as answers depend on it, in one line of JSON."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL

from edge_runtime.bench.machine import Machine, core_count, cpu_name
from edge_runtime.engines.gpu import gpu_here
from edge_runtime.engines.place import Gpu
from edge_runtime.errors import EdgeVLError
from edge_runtime.memory import memory_kb
from edge_runtime.record import json_from_record
from edge_runtime.version import VERSION
from jetson.clocks import Clock, clocks_below, text_in
from jetson.libraries import NAMES, LibraryHere, LibraryName, library_here

ASK_S = 30.0
PACKAGES = (
    "nvidia-jetpack",
    "nvidia-l4t-*",
    "libnvinfer*",
    "python3-libnvinfer*",
    "libcudnn*",
    "cuda-cudart-*",
)
DPKG = ("dpkg-query", "-W", "-f", "${db:Status-Status}\t${Package}\t${Version}\n", *PACKAGES)
SYSTEM_PLACES = ("/usr/sbin", "/sbin")  # not on every user's path


@dataclass(frozen=True)
class Board:
    """`cma_mib` is the contiguous memory set aside, None where the kernel sets none aside; `tegra_release`, `power_mode` and
    `model` are "" where nothing tells. `absent` says why a library is not there, `faults` what is wrong."""

    model: str
    machine: Machine
    available_mib: int
    cma_mib: int | None
    tegra_release: str
    packages: dict[str, str]
    power_mode: str
    clocks: tuple[Clock, ...]
    gpu: Gpu | None
    versions: dict[str, str]
    absent: dict[str, str]
    faults: tuple[str, ...]


Ask = Callable[[Sequence[str]], str]


def answer_of_tool(words: Sequence[str], limit_s: float = ASK_S) -> str:
    """All that it prints, faults too; "" where it is not installed."""
    path = shutil.which(words[0], path=os.pathsep.join((os.environ.get("PATH", ""), *SYSTEM_PLACES)))
    if path is None:
        return ""
    try:
        ended = subprocess.run(
            (path, *words[1:]),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=limit_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"{words[0]} had not ended after {limit_s:.0f} seconds"
    return ended.stdout.decode(errors="replace").strip()


@dataclass(frozen=True)
class Ground:
    """What is asked for what this board is."""

    root: Path = Path("/")
    ask: Ask = answer_of_tool
    gpu: Callable[[], Gpu | None] = gpu_here
    library: Callable[[LibraryName], LibraryHere] = library_here


def board_here(ground: Ground = Ground()) -> Board:
    proc, memory = ground.root / "proc", memory_kb(ground.root / "proc")
    release = text_in(ground.root / "etc" / "nv_tegra_release")
    gpu, driver_fault = gpu_on(ground, bool(release))
    libraries = {name: ground.library(name) for name in NAMES}
    return Board(
        model=text_in(proc / "device-tree" / "model"),
        machine=machine_with(memory["MemTotal"] >> 10, proc),
        available_mib=memory["MemAvailable"] >> 10,
        cma_mib=memory.get("CmaTotal", 0) >> 10 or None,
        tegra_release=release,
        packages=installed_packages(ground.ask(DPKG)),
        power_mode=ground.ask(("nvpmodel", "-q")),
        clocks=clocks_below(ground.root / "sys"),
        gpu=gpu,
        versions=versions_with(libraries),
        absent={name: each.fault for name, each in libraries.items() if not each.is_installed},
        faults=(*driver_fault, *broken(libraries)),
    )


def machine_with(memory_mib: int, proc: Path) -> Machine:
    system = f"{platform.system()} {platform.release()}"
    return Machine(cpu_name(proc), platform.machine(), core_count(), memory_mib, system)


def gpu_on(ground: Ground, is_jetson: bool) -> tuple[Gpu | None, tuple[str, ...]]:
    """And what is wrong with it. Every Jetson has one."""
    try:
        gpu = ground.gpu()
    except EdgeVLError as error:
        return None, (f"{error.what}: {error.why}",)
    if gpu is None and is_jetson:
        return None, ("no GPU answers on this Jetson: a container needs `--runtime nvidia`",)
    return gpu, ()


def broken(libraries: Mapping[LibraryName, LibraryHere]) -> list[str]:
    return [f"{name}: {each.fault}" for name, each in libraries.items() if each.is_installed and each.fault]


def versions_with(libraries: Mapping[LibraryName, LibraryHere]) -> dict[str, str]:
    ours = {
        "edge-vl": VERSION,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "pillow": PIL.__version__,
    }
    return ours | {name: each.version for name, each in libraries.items() if each.version}


def installed_packages(listed: str) -> dict[str, str]:
    """By name. What dpkg knows and has not installed, and its complaints of what it does not know, are left out."""
    rows = [line.split("\t") for line in listed.splitlines()]
    return {row[1]: row[2] for row in rows if len(row) == 3 and row[0] == "installed"}


def main() -> None:
    board = board_here()
    sys.stdout.write(json.dumps(json_from_record(board)) + "\n")
    sys.exit(1 if board.faults else 0)


if __name__ == "__main__":
    main()
