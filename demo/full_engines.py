"""Every role of a full-size model through the engine library's compiler: `python -m demo.full_engines SIZE FOLDER`."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from demo.command import status_of_report
from demo.full_size import command_cost
from demo.random_checkpoint import spec_named, write_random_checkpoint
from edge_runtime.bench.machine import machine_here, versions_here
from edge_runtime.bundle import Bundle
from edge_runtime.dialects import Dialect
from edge_runtime.engines.place import EngineName
from edge_runtime.errors import EdgeVLError
from edge_runtime.version import VERSION
from export.checkpoint import Checkpoint
from export.engines.compilation import Compiled, attention_layers, compiled_engines
from export.engines.inspector import PlanReport
from export.engines.serving import Serving
from export.exporter import fingerprint

ENGINE: EngineName = "tensorrt-rtx"  # the one that builds without a GPU, and whose plans can be read
TENSORRT_DIALECTS: tuple[Dialect, ...] = ("trt10", "trt")


def full_size_bundle(size: str, folder: Path, dialects: Sequence[Dialect], context: int) -> Bundle:
    """Random weights in fp16, made in `folder` where they are not there yet; EVL-FULL-SIZE where others are."""
    checkpoint, out = folder / size, folder / f"{size}-engines"
    if not checkpoint.exists():
        write_random_checkpoint(spec_named(size), checkpoint, "original")
    if not out.exists():
        command_cost(
            "export", checkpoint, out, "--dialect", ",".join(dialects), "--max-context", str(context)
        )
    bundle = Bundle.open(out, is_trusted=True)
    check_bundle(bundle, checkpoint, dialects, context)
    return bundle


def check_bundle(bundle: Bundle, checkpoint: Path, dialects: Sequence[Dialect], context: int) -> None:
    """What another run left is measured only if it is what this one would have made."""
    manifest = bundle.manifest
    with Checkpoint.open(checkpoint) as opened:
        source = fingerprint(opened)
    found_and_wanted: dict[str, tuple[object, object]] = {
        "dialects": (", ".join(sorted(manifest.dialects)), ", ".join(sorted(dialects))),
        "max_context": (manifest.max_context, context),
        "precision": (", ".join(sorted({entry.precision for entry in manifest.graphs})), "fp16"),
        "edge-vl": (manifest.provenance.edge_vl_version, VERSION),
        "checkpoint": (manifest.provenance.checkpoint_sha256[:12], source[:12]),
    }
    wrong = [
        f"{name} {found} instead of {wanted}"
        for name, (found, wanted) in found_and_wanted.items()
        if found != wanted
    ]
    if wrong:
        what, why = f"{bundle.folder} is not the bundle to be measured", f"it has {', '.join(wrong)}"
        raise EdgeVLError("EVL-FULL-SIZE", what, why, "remove it, or name another folder")


def engines_one_by_one(
    bundle: Bundle, dialects: Sequence[Dialect], folder: Path
) -> Generator[Compiled, None, None]:
    """Each plan is removed as soon as it was looked into: together they would fill a laptop's disk."""
    serving = Serving(bundle.manifest.max_context)
    with tempfile.TemporaryDirectory(prefix="plans-", dir=folder) as plans:
        for dialect in dialects:
            for compiled in compiled_engines(bundle, dialect, ENGINE, serving, Path(plans)):
                Path(compiled.build.plan).unlink()
                yield compiled


def record_from_compiled(compiled: Compiled, bundle: Bundle) -> dict[str, object]:
    build, (first, *others) = compiled.build, compiled.found.reports
    on_gpu = {"on_gpu": profiles_of(others[0])} if others else {}
    return {
        "dialect": compiled.dialect,
        "engine": compiled.name,
        "seconds": round(build.parse_seconds + build.build_seconds, 1),
        "plan_bytes": build.plan_bytes,
        "peak_held_mib": round(build.peak_held_mib),
        "peak_resident_mib": round(build.peak_resident_mib),
        "attention_layers": attention_layers(compiled.role, bundle.spec),
        "source": first.source,
        "profiles": profiles_of(first),
        "warnings": list(build.warnings),
        "refusals": list(compiled.found.refusals),
        **on_gpu,
    }


def profiles_of(report: PlanReport) -> list[dict[str, object]]:
    """Null is what the source does not tell."""
    return [
        {
            "fused_attention": profile.attention,
            "fused_attention_layers": profile.fused_attention(),
            "products": profile.products_by_types(),
            "left_in_float": profile.layers_left_in("float"),
            "constant_bytes": profile.constant_bytes,
            "activation_bytes": profile.activation_bytes,
            "kernels": profile.kernels,
            "in_place": None if profile.in_place is None else len(profile.in_place),
        }
        for profile in report.profiles
    ]


def report_from_size(size: str, folder: Path, context: int) -> dict[str, object]:
    bundle = full_size_bundle(size, folder, TENSORRT_DIALECTS, context)
    start, records = time.monotonic(), list[dict[str, object]]()
    version = ""
    for compiled in engines_one_by_one(bundle, TENSORRT_DIALECTS, folder):
        version = compiled.build.engine_version
        records.append(record_from_compiled(compiled, bundle))
        print(f"{compiled.dialect} {compiled.name}: {records[-1]['seconds']} s", file=sys.stderr, flush=True)
    return {
        "kind": "edge-vl engines, compiled and not run",
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        "command": f"python -m demo.full_engines {size} FOLDER --context {context}",
        "machine": asdict(machine_here()),
        "versions": asdict(versions_here()) | {ENGINE: version},
        "seconds": round(time.monotonic() - start, 1),
        "engines": records,
    }


def table_from_report(report: Mapping[str, Any], name: str) -> str:
    """The README's table of one report; `name` is its file."""
    head = "| engine | dialect | attention fused | plan | activations | caches in place | build | peak RSS |"
    lines = [
        head,
        "|---|---|---|---|---|---|---|---|",
        *(row_from_record(each) for each in report["engines"]),
    ]
    total = f"All in {report['seconds']:.0f} s: [{name}](docs/engines/{name})."
    return "\n".join([*lines, "", total])


def row_from_record(record: Mapping[str, Any]) -> str:
    """Of several profiles the worst; "not told" is what one of them does not tell."""
    profiles, wanted = record["profiles"], record["attention_layers"]
    fused = worst(min, [profile["fused_attention_layers"] for profile in profiles])
    activations = worst(max, [profile["activation_bytes"] for profile in profiles], 1e6, " MB")
    is_decoder = record["engine"].startswith("decoder")
    caches = worst(min, [profile["in_place"] for profile in profiles]) if is_decoder else "–"
    return (
        f"| {record['engine']} | {record['dialect']} | {f'{fused}/{wanted}' if wanted else '–'}"
        f" | {record['plan_bytes'] / 1e6:.0f} MB | {activations} | {caches}"
        f" | {record['seconds']:.0f} s | {record['peak_resident_mib'] / 1024:.1f} GiB |"
    )


def worst(
    of: Callable[[Sequence[int]], int], values: Sequence[int | None], unit: float = 1, name: str = ""
) -> str:
    known = [value for value in values if value is not None]
    return f"{of(known) / unit:.0f}{name}" if len(known) == len(values) else "not told"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m demo.full_engines", description=__doc__)
    parser.add_argument("size", metavar="SIZE")
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="a folder with room for three bundles")
    parser.add_argument("--context", type=int, default=2048)
    parser.add_argument("--out", type=Path, help="a new file for the report")
    arguments = parser.parse_args()
    return status_of_report(
        lambda: report_from_size(arguments.size, arguments.folder, arguments.context), arguments.out
    )


if __name__ == "__main__":
    sys.exit(main())
