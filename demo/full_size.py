"""What an export at full size costs, against what it must at least cost: `python -m demo.full_size SIZE FOLDER`."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from demo.command import status_of_report
from demo.random_checkpoint import LayoutName, spec_named, write_random_checkpoint
from edge_runtime.bench.machine import Machine, machine_here, versions_here
from edge_runtime.errors import EdgeVLError
from edge_runtime.memory import MemoryWatch
from edge_runtime.spec import ModelSpec

TWIN_VOCAB = 1024
TWIN_HEAD = 8


@dataclass(frozen=True)
class ExportCost:
    """One export, its tiny twin (as deep, but narrow: the same trace), and a copy of the bytes it wrote."""

    size: str
    layout: str
    precision: str
    bundle_bytes: int
    seconds: float
    twin_seconds: float
    copy_seconds: float
    peak_held_mib: float
    peak_resident_mib: float

    @property
    def ratio(self) -> float:
        """Wall time over the least it could take; the bar is 1.3."""
        return self.seconds / (self.twin_seconds + self.copy_seconds)


def narrow_twin(spec: ModelSpec) -> ModelSpec:
    """As many layers, windows and places as `spec`, and hardly any weights."""
    width = TWIN_HEAD * spec.decoder.heads
    low = replace(spec.low, width=TWIN_HEAD * spec.low.heads, mlp_width=2 * TWIN_HEAD)
    high = spec.high
    if high is not None:
        high = replace(
            high,
            width=TWIN_HEAD * high.heads,
            mlp_width=2 * TWIN_HEAD,
            neck_width=TWIN_HEAD,
            down_widths=(2 * TWIN_HEAD, low.width),
        )
    return replace(
        spec,
        low=low,
        high=high,
        adaptor=replace(
            spec.adaptor,
            low_width=low.width,
            high_width=0 if high is None else high.down_widths[1],
            width=width,
        ),
        decoder=replace(
            spec.decoder,
            width=width,
            kv_heads=spec.decoder.heads,
            head_dim=TWIN_HEAD,
            mlp_width=2 * TWIN_HEAD,
            vocab=TWIN_VOCAB,
        ),
        prompt=replace(spec.prompt, bos_id=TWIN_VOCAB - 3, eos_id=TWIN_VOCAB - 2, image_id=TWIN_VOCAB - 1),
    )


def export_cost(size: str, checkpoint: Path, folder: Path, layout: LayoutName, precision: str) -> ExportCost:
    """Exports `checkpoint` and its twin into `folder`, each by the command in a process of its own."""
    twin = folder / f"{size}-twin"
    write_random_checkpoint(narrow_twin(spec_named(size)), twin, layout)
    twin_cost = command_cost("export", twin, folder / f"{size}-twin-bundle", "--precision", precision)
    out = folder / f"{size}-{precision}"
    cost = command_cost("export", checkpoint, out, "--precision", precision)
    copied = folder / f"{size}-copy"
    copy_seconds = timed_copy(out, copied)
    shutil.rmtree(copied)
    return ExportCost(
        size=size,
        layout=layout,
        precision=precision,
        bundle_bytes=sum(path.stat().st_size for path in out.rglob("*") if path.is_file()),
        seconds=cost.seconds,
        twin_seconds=twin_cost.seconds,
        copy_seconds=round(copy_seconds, 2),
        peak_held_mib=cost.peak_held_mib,
        peak_resident_mib=cost.peak_resident_mib,
    )


@dataclass(frozen=True)
class CommandCost:
    """What one run of the command took, and the last line it said."""

    seconds: float
    peak_held_mib: float
    peak_resident_mib: float
    last_line: str


def command_cost(*arguments: str | Path) -> CommandCost:
    """A process of its own, watched; what it says about a failure goes straight to the terminal."""
    command = [sys.executable, "-m", "edge_vl", *map(str, arguments)]
    start = time.monotonic()
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process,
        MemoryWatch(process.pid) as watch,
    ):
        said, _ = process.communicate()
    if process.returncode != 0:
        why = f"edge-vl {arguments[0]} ended with status {process.returncode}"
        raise EdgeVLError("EVL-FULL-SIZE", "a step of the measurement failed", why, "see the lines above")
    return CommandCost(
        seconds=round(time.monotonic() - start, 2),
        peak_held_mib=round(watch.peak.held_mib, 1),
        peak_resident_mib=round(watch.peak.resident_mib, 1),
        last_line=said.rstrip().rpartition("\n")[2],
    )


def report_from_verify(bundle: Path, checkpoint: Path) -> dict[str, object]:
    """What comparing the bundle with its checkpoint costs, and what it finds."""
    cost = command_cost("verify", bundle, "--against", checkpoint, "--json")
    found = json.loads(cost.last_line)
    return {
        "seconds": cost.seconds,
        "peak_held_mib": cost.peak_held_mib,
        "peak_resident_mib": cost.peak_resident_mib,
        "parity": found["parity"],
    }


def timed_copy(source: Path, target: Path) -> float:
    start = time.monotonic()
    shutil.copytree(source, target)
    for path in target.rglob("*"):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            os.fsync(descriptor)
            os.close(descriptor)
    return time.monotonic() - start


def report_from_cost(cost: ExportCost, machine: Machine) -> dict[str, object]:
    return {
        "kind": "edge-vl export cost",
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        "command": f"python -m demo.full_size {cost.size} FOLDER --precision {cost.precision}",
        "machine": asdict(machine),
        "versions": asdict(versions_here()),
        "cost": asdict(cost) | {"ratio": round(cost.ratio, 3)},
        "bars": {"ratio": 1.3, "peak_held_mib": {"1.3b-hybrid": 3072, "7b": 4096}.get(cost.size)},
    }


def row_from_report(report: Any, name: str) -> str:
    """The README's line about one export."""
    cost = report["cost"]
    return (
        f"| {cost['size']}, {cost['precision']} | {cost['bundle_bytes'] / (1 << 30):.1f} GiB"
        f" | {cost['peak_held_mib'] / 1024:.2f} GiB | {cost['seconds']:.0f} s | {cost['ratio']:.2f}"
        f" | [{name}](docs/export/{name}) |"
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m demo.full_size", description=__doc__)
    parser.add_argument("size", metavar="SIZE")
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="a folder with room for two bundles")
    parser.add_argument("--checkpoint", type=Path, help="use this one instead of writing a random one")
    parser.add_argument("--layout", choices=["original", "transformers"], default="original")
    parser.add_argument("--precision", choices=["fp16", "fp32"], default="fp16")
    parser.add_argument(
        "--verify", action="store_true", help="compare the bundle with the checkpoint as well"
    )
    parser.add_argument("--out", type=Path, help="a new file for the report")
    arguments = parser.parse_args()
    return status_of_report(lambda: report_from_arguments(arguments), arguments.out)


def report_from_arguments(arguments: argparse.Namespace) -> dict[str, object]:
    size, precision = arguments.size, arguments.precision
    checkpoint = arguments.checkpoint or arguments.folder / size
    if arguments.checkpoint is None:
        write_random_checkpoint(spec_named(size), checkpoint, arguments.layout)
    cost = export_cost(size, checkpoint, arguments.folder, arguments.layout, precision)
    report = report_from_cost(cost, machine_here())
    if arguments.verify:
        report["verify"] = report_from_verify(arguments.folder / f"{size}-{precision}", checkpoint)
    return report


if __name__ == "__main__":
    sys.exit(main())
