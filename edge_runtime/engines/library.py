"""The TensorRT of this machine: opened under either of its names, or an error that says how to get it."""

from __future__ import annotations

import importlib
import platform
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_runtime.engines.place import TITLES, EngineName
from edge_runtime.errors import EdgeVLError, MachineFault

MODULES: dict[EngineName, str] = {"tensorrt": "tensorrt", "tensorrt-rtx": "tensorrt_rtx"}
OLDEST: dict[EngineName, tuple[int, ...]] = {"tensorrt": (10, 3), "tensorrt-rtx": (1, 0)}
TEGRA_RELEASE = Path("/etc/nv_tegra_release")  # on every Jetson, and in no other place


@dataclass(frozen=True)
class Platform:
    """What decides which TensorRT there is to install."""

    machine: str
    is_jetson: bool


def this_platform() -> Platform:
    return Platform(platform.machine(), TEGRA_RELEASE.exists())


@dataclass(frozen=True)
class Library:
    """An engine library in this process. Versions compare as numbers: 10.3 < 10.13."""

    name: EngineName
    module: Any
    version: tuple[int, ...]

    @property
    def title(self) -> str:
        return f"{TITLES[self.name]} {'.'.join(map(str, self.version))}"


def opened_library(name: EngineName, place: Platform | None = None) -> Library:
    """EVL-ENGINE-MISSING, EVL-ENGINE-BROKEN or EVL-ENGINE-OLD where it cannot be used, with what to install."""
    place = place or this_platform()
    module = imported_module(name, place)
    version = version_from_text(str(getattr(module, "__version__", "")))
    if not version:
        raise broken_error(name, place, f"the module {MODULES[name]} has no version")
    if version < OLDEST[name]:
        what = f"{TITLES[name]} {module.__version__} is too old"
        why = f"edge-vl needs {'.'.join(map(str, OLDEST[name]))} or newer"
        raise EdgeVLError("EVL-ENGINE-OLD", what, why, remedy_for(name, place))
    return Library(name, module, version)


def imported_module(name: EngineName, place: Platform) -> Any:
    try:
        return importlib.import_module(MODULES[name])
    except ModuleNotFoundError as error:
        if error.name != MODULES[name]:
            raise broken_error(name, place, str(error)) from error
        what = f"{TITLES[name]} is not installed"
        raise EdgeVLError("EVL-ENGINE-MISSING", what, str(error), remedy_for(name, place)) from error
    except (ImportError, OSError) as error:
        raise broken_error(name, place, str(error)) from error


def broken_error(name: EngineName, place: Platform, why: str) -> MachineFault:
    # NVIDIA's containers name libraries that JetPack 7.2 no longer has on the host, such as libnvdla_compiler.so.
    what = f"{TITLES[name]} is installed and cannot be loaded"
    fix = remedy_for(name, place)
    if ".so" in why:
        fix = f"install the library named above, or leave the container that lacks it; else {fix}"
    return MachineFault("EVL-ENGINE-BROKEN", what, why, fix)


def starting_error(library: Library, why: str) -> MachineFault:
    """For a library that is there and makes no builder. TensorRT needs a device for that, TensorRT-RTX none."""
    if library.name == "tensorrt-rtx":
        return broken_error(library.name, this_platform(), why)
    what = f"{library.title} finds no GPU to build for"
    fix = (
        "install NVIDIA's driver, or a newer one; in a container, start it with `--gpus all`, on a Jetson with "
        "`--runtime nvidia`"
    )
    return MachineFault("EVL-ENGINE-DRIVER", what, why, fix)


def remedy_for(name: EngineName, place: Platform) -> str:
    """What to install where."""
    if name == "tensorrt-rtx":
        return remedy_for_rtx(place)
    if place.is_jetson:
        return (
            "sudo apt install python3-libnvinfer (JetPack's own, there is no wheel), "
            "in a virtual environment made with --system-site-packages"
        )
    return "pip install 'edge-vl[tensorrt]'"


def remedy_for_rtx(place: Platform) -> str:
    if place.machine == "x86_64":
        return "pip install 'edge-vl[tensorrt-rtx]' (Python 3.11 or newer, a desktop RTX)"
    other = f"use TensorRT: {remedy_for('tensorrt', place)}"
    if place.machine == "aarch64" and not place.is_jetson:
        # Of 1.7.1 the registry has no wheel but for x86-64; NVIDIA names the GB10 among its devices.
        return f"on a GB10 install NVIDIA's own package of TensorRT-RTX, pip has none for aarch64; elsewhere {other}"
    where = "a Jetson" if place.is_jetson else place.machine
    return f"there is no TensorRT-RTX for {where}; {other}"


def version_from_text(text: str) -> tuple[int, ...]:
    """The leading numbers of "10.16.2.10"; empty if there are none."""
    found = re.match(r"\d+(\.\d+)*", text)
    return tuple(int(part) for part in found[0].split(".")) if found else ()
