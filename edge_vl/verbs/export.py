"""`edge-vl export`."""

from __future__ import annotations

import time
from argparse import Namespace
from typing import TYPE_CHECKING, cast

from edge_runtime.dialects import Dialect
from edge_runtime.errors import EdgeVLError, listed, typed
from edge_vl.verbs.folders import refuse_bundle
from edge_vl.verbs.pictures import pictures_from_folder
from edge_vl.verbs.workbench import workbench

if TYPE_CHECKING:
    from edge_vl.terminal import Terminal


def run(arguments: Namespace, terminal: Terminal) -> int:
    start = time.monotonic()
    refuse_bundle(arguments.checkpoint)
    if arguments.images is not None and arguments.precision != "fp16":
        why, fix = "activations are measured for what overflows fp16", "leave --images out, or export fp16"
        raise EdgeVLError(
            "EVL-USAGE", f"--images has nothing to do with --precision {arguments.precision}", why, fix
        )
    dialects = tuple(name.strip() for name in arguments.dialect.split(","))
    with workbench("export"):
        from export.checkpoint import is_licence_name
        from export.exporter import export_bundle
        from export.options import ExportOptions
    options = ExportOptions(
        dialects=cast("tuple[Dialect, ...]", dialects),
        precision=arguments.precision,
        max_context=arguments.max_context,
        samples=pictures_from_folder(arguments.images, terminal.note),
    )
    manifest = export_bundle(arguments.checkpoint, arguments.out, options, terminal.progress, terminal.note)
    licences = [entry.path for entry in manifest.files if is_licence_name(entry.path)]
    if not licences:
        terminal.note(
            "no licence lies beside config.json: look up the model's terms before you pass the bundle on"
        )
    size = sum(entry.bytes for entry in manifest.files)
    result = {
        "out": str(arguments.out),
        "bytes": size,
        "roles": list(manifest.spec.roles),
        "dialects": list(manifest.dialects),
        "precision": arguments.precision,
        "max_context": manifest.max_context,
        "fp32_islands": {
            entry.role: list(entry.fp32_islands) for entry in manifest.graphs if entry.fp32_islands
        },
        "licences": licences,
        "seconds": round(time.monotonic() - start, 2),
    }
    if arguments.json:
        terminal.json(result)
    else:
        terminal.line(
            f"{arguments.out}: {len(manifest.files)} files, {size / (1 << 20):.1f} MiB, {arguments.precision}"
        )
        for entry in manifest.graphs:
            if entry.fp32_islands:
                terminal.line(f"fp32 in {entry.role}: {listed(entry.fp32_islands)}  (see ranges.json)")
        if arguments.precision == "fp16" and arguments.images is None:
            terminal.line("fp16 is for GPUs: on a CPU, --precision fp32 loads at once and holds less memory")
            terminal.line(
                "activations were not measured: --images DIR finds layers that overflow fp16, verify shows them"
            )
        command = typed("edge-vl verify", arguments.out, "--against", arguments.checkpoint)
        terminal.line(f"next: {command}")
    return 0
