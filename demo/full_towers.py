"""What measuring ranges costs at full size: of each tower, of all together, and in the whole command."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from demo.full_plan import Plan
from demo.full_size import CommandCost, command_cost
from demo.random_checkpoint import write_random_checkpoint
from demo.rivals.process import ProcessCost, process_cost
from demo.rivals.subject import cut_decoder
from edge_runtime.errors import EdgeVLError
from edge_runtime.spec import Role
from export.exporter import export_bundle
from export.options import ExportOptions

OBSERVERS = ("minmax", "percentile")
RATIO_BAR = 2.0
PEAK_BARS_MIB: Mapping[Role, int] = {"vision_low": 3072, "vision_high": 5120}
VISION = "vision"  # all of its roles, as calibration itself opens them


def ranges_part(plan: Plan) -> list[dict[str, object]]:
    """Every tower with every observer, all together, and the command around them. The decoder plays no part and is cut."""
    checkpoint, out = plan.folder / "towers-checkpoint", plan.folder / f"{plan.size}-towers"
    if not out.exists():
        write_random_checkpoint(cut_decoder(plan.spec, 1), checkpoint, "original")
        export_bundle(checkpoint, out, ExportOptions(("ort",), "fp32", plan.context))
        shutil.rmtree(checkpoint)
    roles: list[Role] = ["vision_low"] if plan.spec.high is None else ["vision_low", "vision_high"]
    towers = [ranges_record(plan, out, role, observer) for role in roles for observer in OBSERVERS]
    together = [together_record(plan, out, observer) for observer in OBSERVERS]
    return [*towers, *together, command_record(plan, out)]


def ranges_record(plan: Plan, bundle: Path, role: Role, observer: str) -> dict[str, object]:
    cost, _ = child(plan, "memory", bundle, role, observer, plan.images)
    _, times = child(plan, "time", bundle, role, observer, plan.compared)
    record: dict[str, object] = {
        "role": role,
        "observer": observer,
        "images": plan.images,
        **figures_of(cost),
        "peak_bar_mib": PEAK_BARS_MIB[role],
        "compared": times,
        "ratio": round(times["ranges_s"] / times["float_s"], 3),
        "cpu_ratio": round(times["ranges_cpu_s"] / times["float_cpu_s"], 3),
        "ratio_bar": RATIO_BAR,
    }
    print(f"{role} {observer}: {record}", file=sys.stderr, flush=True)
    return record


def together_record(plan: Plan, bundle: Path, observer: str) -> dict[str, object]:
    """Calibration's own pass, with the sessions of all towers and the adaptor open at once."""
    cost, said = child(plan, "memory", bundle, VISION, observer, plan.images)
    record = {"role": VISION, "observer": observer, "images": said["images"], **figures_of(cost)}
    print(f"{VISION} {observer}: {record}", file=sys.stderr, flush=True)
    return record


def command_record(plan: Plan, bundle: Path) -> dict[str, object]:
    """The whole command, answers and their comparison included, on few pictures: their number changes no peak."""
    out = plan.folder / f"{plan.size}-towers-int8"
    options = ("--decoder", "fp16", "--head", "fp16", "--limit", str(plan.compared))
    cost = command_cost("calibrate", bundle, out, "--images", plan.pictures, *options, "--json")
    shutil.rmtree(out)
    record = {
        "role": "command",
        "observer": OBSERVERS[0],
        "images": plan.compared,
        "decoder_layers": 1,
        **figures_of(cost),
    }
    print(f"command: {record}", file=sys.stderr, flush=True)
    return record


def figures_of(cost: ProcessCost | CommandCost) -> dict[str, float]:
    processor = {"cpu_seconds": cost.cpu_seconds} if isinstance(cost, ProcessCost) else {}
    peaks = {"peak_held_mib": cost.peak_held_mib, "peak_resident_mib": cost.peak_resident_mib}
    return {"seconds": cost.seconds} | processor | peaks


def child(
    plan: Plan, what: str, bundle: Path, role: str, observer: str, count: int
) -> tuple[ProcessCost, dict[str, float]]:
    command: list[str | Path] = [
        sys.executable, "-m", "demo.full_ranges", what, bundle, role, observer, plan.pictures, str(count)
    ]  # fmt: skip
    cost = process_cost(command, plan.folder / "log.txt")
    if cost.fault:
        what = f"ranges of {role} cannot be measured"
        raise EdgeVLError("EVL-FULL-SIZE", what, cost.fault, f"see {plan.folder / 'log.txt'}")
    return cost, json.loads(cost.last_line)
