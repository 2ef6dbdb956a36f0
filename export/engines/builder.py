"""One build, inside the process that was started for it."""

from __future__ import annotations

import os
import time
from collections import Counter
from pathlib import Path
from typing import Any

from edge_runtime.engines.library import Library, starting_error
from edge_runtime.errors import EdgeVLError
from edge_runtime.memory import memory_of_tree, peak_resident_mib
from export.engines.log import NOISE, BuildLog, is_about_memory, logger_for
from export.engines.network import (
    NoMemoryError,
    add_profiles,
    check_profiles,
    inputs_of,
    let_attention_decompose,
    new_network,
    parse_graph,
)
from export.engines.planfile import write_plan
from export.engines.products import network_products
from export.engines.request import BuildReport, BuildRequest
from export.engines.timing_cache import attached_timings, keep_timings


def build_plan(library: Library, request: BuildRequest) -> BuildReport:
    """Leaves the plan at `request.plan`. EVL-BUILD-PARSE, -SHAPES or -FAILED; EVL-ENGINE-DRIVER or -BROKEN;
    NoMemoryError; WriteRefusedError.

    Only the first logger of a process is heard: do not call it twice in one.
    """
    log = BuildLog(NOISE.get(library.name))
    logger = logger_for(log, library.module)
    begun = time.monotonic()
    builder = started_builder(library, logger, log)
    network = new_network(library, builder)
    parser = parse_graph(library, network, logger, log, request)
    check_profiles(request.profiles, inputs_of(network), request.role)
    let_attention_decompose(library, network)
    parsed = time.monotonic()
    config, plan = config_for(library, builder, request), Path(request.plan)
    timings = attached_timings(config, Path(request.timings), log) if request.timings else None
    if not write_plan(library.module, builder, network, config, plan):
        raise failure_of(library, log, request)
    built = time.monotonic()
    if timings:
        keep_timings(timings, config, plan.with_suffix(".timings"), log)
    del parser  # it holds the file's weights: the network points into them until here
    return report(library, request, network, log, parsed - begun, built - parsed)


def started_builder(library: Library, logger: Any, log: BuildLog) -> Any:
    try:
        return library.module.Builder(logger)
    except TypeError as fault:  # of the bindings, about a factory that made nothing; why is in the log
        why = log.complaint() or str(fault)
        raise (NoMemoryError(why) if is_about_memory(why) else starting_error(library, why)) from fault


def config_for(library: Library, builder: Any, request: BuildRequest) -> Any:
    config = builder.create_builder_config()
    config.profiling_verbosity = (
        library.module.ProfilingVerbosity.DETAILED
    )  # the inspectors read what it leaves
    if library.name == "tensorrt-rtx":
        # Of engines that take memory by themselves TensorRT-RTX lets no step be recorded.
        config.set_flag(library.module.BuilderFlag.REQUIRE_USER_ALLOCATION)
    add_profiles(builder, config, request.profiles)
    return config


def failure_of(library: Library, log: BuildLog, request: BuildRequest) -> Exception:
    if log.is_about_memory():
        return NoMemoryError(log.last_words())
    what = f"{request.role}: {library.title} cannot build {Path(request.onnx).name}"
    why = log.last_words() or "its log has no error"
    fix = "build another dialect or precision of this role, or report these lines"
    return EdgeVLError("EVL-BUILD-FAILED", what, why, fix)


def report(
    library: Library, request: BuildRequest, network: Any, log: BuildLog, parse_s: float, build_s: float
) -> BuildReport:
    kinds = Counter(str(network.get_layer(index).type.name) for index in range(network.num_layers))
    return BuildReport(
        role=request.role,
        engine=request.engine,
        engine_version=".".join(map(str, library.version)),
        plan=request.plan,
        plan_bytes=Path(request.plan).stat().st_size,
        parse_seconds=parse_s,
        build_seconds=build_s,
        peak_held_mib=memory_of_tree(os.getpid()).held_mib,
        peak_resident_mib=peak_resident_mib(),
        activation_bytes=tuple(log.activation_bytes) or None,
        weight_bytes=log.weight_bytes,
        layers=dict(sorted(kinds.items())),
        products=network_products(network),
        warnings=tuple(log.warnings),
    )
