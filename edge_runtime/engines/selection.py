"""Which library builds on this machine, and from which of a bundle's dialects."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Literal

from edge_runtime.dialects import Dialect
from edge_runtime.engines.gpu import gpu_here
from edge_runtime.engines.library import (
    Library,
    opened_library,
    remedy_for,
    starting_error,
    this_platform,
    version_from_text,
)
from edge_runtime.engines.place import EngineName, Gpu, Place
from edge_runtime.errors import EdgeVLError

Wanted = Literal["auto", "tensorrt", "tensorrt-rtx"]
# TensorRT reads the operators of `trt` from this version on; TensorRT-RTX always did.
MODERN = (10, 15)
WITHOUT_GPU = "TensorRT builds only where a GPU answers, and none does"


def place_here(
    wanted: Wanted,
    opened: Callable[[EngineName], Library] = opened_library,
    gpu_of: Callable[[], Gpu | None] = gpu_here,
) -> Place:
    """EVL-ENGINE-* where the wanted library cannot be used. "auto" is TensorRT where it and a GPU are, else
    TensorRT-RTX, which builds without one."""
    gpu = gpu_of()
    if wanted != "auto":
        library = opened(wanted)
        if wanted == "tensorrt" and gpu is None:
            raise starting_error(library, WITHOUT_GPU)
        return place_of(library, gpu)
    missing = []
    for name in libraries_for(gpu):
        found = place_unless_missing(name, opened, gpu)
        if isinstance(found, Place):
            return found
        missing.append(found)
    what, why = "no engine library can be used here", "; ".join((*missing, *([] if gpu else [WITHOUT_GPU])))
    raise EdgeVLError("EVL-ENGINE-MISSING", what, why, remedy_for(libraries_for(gpu)[0], this_platform()))


def place_unless_missing(
    name: EngineName, opened: Callable[[EngineName], Library], gpu: Gpu | None
) -> Place | str:
    """Else what is missing."""
    try:
        return place_of(opened(name), gpu)
    except EdgeVLError as error:
        if error.code != "EVL-ENGINE-MISSING":
            raise
        return error.what


def libraries_for(gpu: Gpu | None) -> tuple[EngineName, ...]:
    return ("tensorrt-rtx",) if gpu is None else ("tensorrt", "tensorrt-rtx")


def place_of(library: Library, gpu: Gpu | None) -> Place:
    return Place(library.name, ".".join(map(str, library.version)), gpu)


def dialect_for_onnxruntime(has: Collection[Dialect], engines: Dialect) -> Dialect:
    """The one that it is fastest with; where the bundle was exported without, that of the engines beside it."""
    return "ort" if "ort" in has else engines


def dialect_for(place: Place, has: Collection[Dialect]) -> Dialect:
    """The newest that library and bundle have in common; EVL-BUNDLE-DIALECT where there is none."""
    is_modern = place.engine == "tensorrt-rtx" or version_from_text(place.version) >= MODERN
    readable: tuple[Dialect, ...] = ("trt", "trt10") if is_modern else ("trt10",)
    for dialect in readable:
        if dialect in has:
            return dialect
    what, why = (
        f"the bundle has no graphs for {place.title}",
        f"it has {', '.join(sorted(has))}; {' or '.join(readable)} can be built",
    )
    fix = f"export again with --dialect {','.join((*sorted(has), readable[0]))}"
    raise EdgeVLError("EVL-BUNDLE-DIALECT", what, why, fix)
