"""A plan made into an engine on this machine's GPU, and looked into."""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edge_runtime.engines.library import Library
from edge_runtime.engines.place import EngineName
from edge_runtime.errors import EdgeVLError, one_line
from export.engines.engine_listing import EngineFacts, NamesOnlyError, profiles_from_engine
from export.engines.inspector import PlanReport, ProfileReport
from export.engines.listing import ListingError
from export.engines.log import BuildLog, logger_for
from export.engines.planfile import opened_plan
from export.engines.products import NetworkProduct

WITHOUT_GPU = "set CUDA_VISIBLE_DEVICES= (empty) to go by the plan's own listing"
ON_TRIAL = "go by the trial, which says whether it answers right"


def report_from_engine(
    library: Library, path: Path, asked: Sequence[NetworkProduct] | None = None
) -> PlanReport:
    """Takes the memory of the engine's weights on the device, but none for activations. It runs nothing.

    EVL-FILE; EVL-ENGINE-FOREIGN where the library makes no engine of the file, EVL-ENGINE-NAMES where the engine tells names
    alone, EVL-ENGINE-LISTING where what it tells is unlike what we know. `constant_bytes`, `kernels` and
    `accelerators` are None: the inspector does not tell them. Only the first logger of a process is heard.
    """
    try:
        with opened_plan(path) as data:
            return PlanReport(len(data), told_profiles(library, path, data, asked), "engine")
    except ValueError as fault:  # an empty file cannot be mapped
        raise foreign_error(library, path, str(fault)) from fault


def told_profiles(
    library: Library, path: Path, data: mmap.mmap, asked: Sequence[NetworkProduct] | None
) -> tuple[ProfileReport, ...]:
    log = BuildLog()
    runtime = library.module.Runtime(logger_for(log, library.module))
    engine = runtime.deserialize_cuda_engine(data)
    if engine is None:
        why = log.last_words() or one_line("; ".join(log.faults)) or "its log has no error"
        raise foreign_error(library, path, why)
    try:
        text, facts = inspected_text(library, engine), facts_of(library, engine)
        return profiles_from_engine(text, facts, asked)
    except (ListingError, ValueError) as fault:  # ValueError: bytes that are no text
        raise listing_error(library, path, str(fault)) from fault
    except NamesOnlyError as fault:
        raise names_error(library, path) from fault


def inspected_text(library: Library, engine: Any) -> str:
    inspector = engine.create_engine_inspector()
    return str(inspector.get_engine_information(library.module.LayerInformationFormat.JSON))


def facts_of(library: Library, engine: Any) -> EngineFacts:
    # Since 10.1; the same without "_v2", and without profiles, is gone in 11.
    sizes = (
        int(engine.get_device_memory_size_for_profile_v2(index))
        for index in range(engine.num_optimization_profiles)
    )
    return EngineFacts(tuple(sizes), outputs_in_place(library, engine))


def outputs_in_place(library: Library, engine: Any) -> tuple[str, ...] | None:
    """None before 10.15, where an engine could not be asked."""
    if not hasattr(engine, "get_aliased_input_tensor"):
        return None
    names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
    output = library.module.TensorIOMode.OUTPUT
    outputs = [name for name in names if engine.get_tensor_mode(name) == output]
    return tuple(sorted(name for name in outputs if engine.get_aliased_input_tensor(name)))


def has_listing(engine: EngineName) -> bool:
    """In its plans. TensorRT writes none, and builds nothing where no GPU answers."""
    return engine == "tensorrt-rtx"


def way_around(engine: EngineName) -> str:
    """What there is to go by where the engine cannot be read."""
    return WITHOUT_GPU if has_listing(engine) else ON_TRIAL


def foreign_error(library: Library, path: Path, why: str) -> EdgeVLError:
    fix = "build it on this machine with this version"
    fix = f"{fix}; or {WITHOUT_GPU}" if has_listing(library.name) else fix
    return EdgeVLError("EVL-ENGINE-FOREIGN", f"{library.title} cannot open {path.name} on this GPU", why, fix)


def names_error(library: Library, path: Path) -> EdgeVLError:
    what, why = (
        f"the engine {path.name} tells nothing of its layers",
        "it was built without detailed profiling",
    )
    fix = f"build it again with edge-vl, which asks for that; or {way_around(library.name)}"
    return EdgeVLError("EVL-ENGINE-NAMES", what, why, fix)


def listing_error(library: Library, path: Path, why: str) -> EdgeVLError:
    what = f"what {library.title} tells of the layers of {path.name} cannot be read"
    fix = f"report these lines; until then {way_around(library.name)}"
    return EdgeVLError("EVL-ENGINE-LISTING", what, why, fix)
