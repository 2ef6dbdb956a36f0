"""What calibration at full size costs, and what becomes of the graphs: `python -m demo.full_calibration SIZE FOLDER`."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from demo.calibrated_engines import decoder_engines, engine_records, engine_row
from demo.command import status_of_report
from demo.full_engines import (
    ENGINE,
    TENSORRT_DIALECTS,
    engines_one_by_one,
    full_size_bundle,
)
from demo.full_plan import CHOICES, ENGINES, Plan
from demo.full_size import command_cost
from demo.full_sizes import size_records
from demo.full_towers import figures_of, ranges_part
from demo.random_checkpoint import write_random_checkpoint
from edge_runtime.bench.machine import machine_here, versions_here
from edge_runtime.bundle import Bundle

SIZE_BAR = 0.02  # to either side: less than there should be is no gain but a mistake
WEIGHTS_BAR_S, WEIGHTS_BAR_MIB = 60, 3072


def sizes_part(plan: Plan) -> list[dict[str, object]]:
    """Quantised bundles for ONNX Runtime: what making them cost, what they take, and an answer from each."""
    source = plan.folder / f"{plan.size}-ort"
    checkpoint = plan.folder / plan.size
    if not source.exists():
        if not checkpoint.exists():
            write_random_checkpoint(plan.spec, checkpoint, "original")
        command_cost("export", checkpoint, source, "--max-context", str(plan.context))
    return [sizes_record(plan, source, name) for name in plan.choices]


def sizes_record(plan: Plan, source: Path, name: str) -> dict[str, object]:
    out = plan.folder / f"{plan.size}-{name}"
    choices, options = CHOICES[name], plan.options(name)
    cost = command_cost("calibrate", source, out, *options, "--json")
    record: dict[str, object] = {
        "name": name,
        "options": " ".join(each for each in options if each != str(plan.pictures)),
        **figures_of(cost),
        "answered_tokens": answered_tokens(out, min(plan.pictures.iterdir())),
        "sizes": size_records(Bundle.open(out, is_trusted=True), "ort", choices),
        "size_bar": SIZE_BAR,
    }
    if name == "w4":
        record |= {"seconds_bar": WEIGHTS_BAR_S, "peak_bar_mib": WEIGHTS_BAR_MIB}
    shutil.rmtree(out)
    print(f"{name}: {record}", file=sys.stderr, flush=True)
    return record


def answered_tokens(bundle: Path, picture: Path) -> int:
    words = ("--prompt", "What is it?", "--max-tokens", "4", "--json")
    said = json.loads(command_cost("run", bundle, "--image", picture, *words).last_line)
    tokens: int = said["usage"]["completion_tokens"]
    return tokens


def engines_part(plan: Plan) -> list[dict[str, object]]:
    """All roles with the default choices, and the decoder with all others, compiled in both TensorRT dialects."""
    source = full_size_bundle(plan.size, plan.folder, TENSORRT_DIALECTS, plan.context)
    names = [name for name in plan.choices if name in ENGINES]
    return [record for name in names for record in engines_records(plan, source, name)]


def engines_records(plan: Plan, source: Bundle, name: str) -> list[dict[str, object]]:
    out = plan.folder / f"{plan.size}-engines-{name}"
    if not out.exists():
        command_cost("calibrate", source.folder, out, *plan.options(name), "--json")
    bundle = Bundle.open(out, is_trusted=True)
    # With the other choices towers stay as they are, and are compiled by others already.
    is_whole = CHOICES[name]["vision"] == "int8"
    compiled = (
        engines_one_by_one(bundle, TENSORRT_DIALECTS, plan.folder)
        if is_whole
        else decoder_engines(bundle, plan.folder)
    )
    records = [{"name": name, **each} for each in engine_records(source, bundle, compiled)]
    shutil.rmtree(out)  # four of them would fill a laptop's disk
    return records


PARTS: Mapping[str, Callable[[Plan], list[dict[str, object]]]] = {
    "ranges": ranges_part,
    "sizes": sizes_part,
    "engines": engines_part,
}


def report_from_arguments(arguments: argparse.Namespace) -> dict[str, object]:
    plan = plan_from_arguments(arguments)
    plan.folder.mkdir(parents=True, exist_ok=True)
    parts = arguments.part or list(PARTS)
    options = f"--images {plan.images} --compared {plan.compared} --context {plan.context}"
    return {
        "kind": "edge-vl calibration at full size",
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        "command": f"python -m demo.full_calibration {plan.size} FOLDER {options}"
        + "".join(f" --part {name}" for name in arguments.part)
        + "".join(f" --choice {name}" for name in arguments.choice),
        "machine": asdict(machine_here()),
        "versions": asdict(versions_here()) | {ENGINE: engine_version()},
        "weights": "random",
        "quiet": not arguments.is_busy,
        **{name: PARTS[name](plan) for name in parts},
    }


def plan_from_arguments(arguments: argparse.Namespace) -> Plan:
    return Plan(
        arguments.size,
        arguments.folder,
        arguments.images,
        arguments.compared,
        arguments.context,
        tuple(arguments.choice or CHOICES),
    )


def engine_version() -> str:
    from importlib.metadata import version

    return version("tensorrt_rtx")


def table_from_report(report: Mapping[str, Any], name: str) -> str:
    """The committed tables of one report; `name` is its file."""
    lines: list[str] = []
    if "ranges" in report:
        lines += [
            "| ranges of | observer | images | time / float forward passes | peak RSS |",
            "|---|---|---|---|---|",
        ]
        lines += [ranges_row(each) for each in report["ranges"]]
    if "sizes" in report:
        lines += [
            "",
            "| weights | bundle | against arithmetic | command | peak RSS |",
            "|---|---|---|---|---|",
        ]
        lines += [sizes_row(each) for each in report["sizes"]]
    if "engines" in report:
        lines += [
            "",
            "| engine | dialect | products | left float | attention fused | plan |",
            "|---|---|---|---|---|---|",
        ]
        lines += [engine_row(each | {"engine": engine_called(each)}) for each in report["engines"]]
    busy = "" if report["quiet"] else " The machine was busy: times are not to be taken from it."
    return "\n".join([*lines, "", f"Figures: [{name}](docs/calibration/{name}).{busy}"]).lstrip("\n")


def engine_called(record: Mapping[str, Any]) -> str:
    """With what was asked for, where that was not the default."""
    choices = CHOICES[record.get("name", "default")]
    if choices == CHOICES["default"]:
        return str(record["engine"])
    return f"{record['engine']}, --decoder {choices['decoder']} --head {choices['head']}"


def ranges_row(record: Mapping[str, Any]) -> str:
    """What is measured for its memory alone has no ratio."""
    ratio = f"{record['ratio']:.2f}" if "ratio" in record else "–"
    return (
        f"| {record['role']} | {record['observer']} | {record['images']} | {ratio}"
        f" | {record['peak_resident_mib'] / 1024:.1f} GiB |"
    )


def sizes_row(record: Mapping[str, Any]) -> str:
    whole = record["sizes"][-1]
    return (
        f"| {record['options']} | {whole['bytes'] / (1 << 30):.2f} GiB | {100 * (whole['ratio'] - 1):+.1f} %"
        f" | {record['seconds']:.0f} s | {record['peak_resident_mib'] / 1024:.1f} GiB |"
    )


def parser_of_command() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m demo.full_calibration", description=__doc__)
    parser.add_argument("size", metavar="SIZE")
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="a folder with room for 40 GB")
    parser.add_argument("--part", action="append", default=[], choices=list(PARTS), help="default: all")
    parser.add_argument(
        "--choice",
        action="append",
        default=[],
        choices=list(CHOICES),
        help="of sizes and engines; default: all",
    )
    parser.add_argument("--images", type=int, default=32, help="pictures that ranges are measured with")
    parser.add_argument("--compared", type=int, default=8, help="pictures that times are compared with")
    parser.add_argument("--context", type=int, default=2048)
    parser.add_argument("--is-busy", action="store_true", help="say that times are not to be taken from it")
    parser.add_argument("--out", type=Path, help="a new file for the report")
    return parser


def main() -> int:
    arguments = parser_of_command().parse_args()
    return status_of_report(lambda: report_from_arguments(arguments), arguments.out)


if __name__ == "__main__":
    sys.exit(main())
