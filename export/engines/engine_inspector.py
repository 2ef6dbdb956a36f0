"""A plan made into an engine on this machine's GPU, and looked into."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edge_runtime.engines.library import Library
from edge_runtime.errors import EdgeVLError, one_line
from export.engines.engine_listing import EngineFacts, NamesOnlyError, profiles_from_engine
from export.engines.inspector import PlanReport
from export.engines.listing import ListingError
from export.engines.log import BuildLog, logger_for
from export.engines.planfile import opened_plan
from export.engines.products import NetworkProduct

WITHOUT_GPU = "set CUDA_VISIBLE_DEVICES= (empty) to go by the plan's own listing"


def report_from_engine(
    library: Library, path: Path, asked: Sequence[NetworkProduct] | None = None
) -> PlanReport:
    """Takes the memory of the engine's weights on the device, but none for activations. It runs nothing.

    EVL-ENGINE-FOREIGN where the library makes no engine of the file, EVL-ENGINE-NAMES where the engine tells names
    alone, EVL-ENGINE-LISTING where what it tells is unlike what we know. `constant_bytes`, `kernels` and
    `accelerators` are None: the inspector does not tell them. Only the first logger of a process is heard.
    """
    log = BuildLog()
    logger = logger_for(log, library.module)
    try:
        with opened_plan(path) as data:
            plan_bytes, runtime = len(data), library.module.Runtime(logger)
            engine = runtime.deserialize_cuda_engine(data)
            if engine is None:
                raise foreign_error(library, path, log)
            text, facts = inspected_text(library, engine), facts_of(library, engine)
            profiles = profiles_from_engine(text, facts, asked)
    except ValueError as fault:  # an empty file cannot be mapped
        raise listing_error(library, path, str(fault)) from fault
    except ListingError as fault:
        raise listing_error(library, path, str(fault)) from fault
    except NamesOnlyError as fault:
        raise names_error(path) from fault
    return PlanReport(plan_bytes, profiles, "engine")


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


def foreign_error(library: Library, path: Path, log: BuildLog) -> EdgeVLError:
    why = log.last_words() or one_line("; ".join(log.faults)) or "its log has no error"
    fix = f"build it on this machine with this version; or {WITHOUT_GPU}"
    return EdgeVLError("EVL-ENGINE-FOREIGN", f"{library.title} cannot open {path.name} on this GPU", why, fix)


def names_error(path: Path) -> EdgeVLError:
    what, why = (
        f"the engine {path.name} tells nothing of its layers",
        "it was built without detailed profiling",
    )
    fix = f"build it again with edge-vl, which asks for that; or {WITHOUT_GPU}"
    return EdgeVLError("EVL-ENGINE-NAMES", what, why, fix)


def listing_error(library: Library, path: Path, why: str) -> EdgeVLError:
    what = f"what {library.title} tells of the layers of {path.name} cannot be read"
    return EdgeVLError("EVL-ENGINE-LISTING", what, why, f"report these lines; until then {WITHOUT_GPU}")
