"""What calibration at full size costs, and what becomes of the graphs: `python -m demo.full_calibration SIZE FOLDER`."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from calibration.ranges import layer_names
from demo.command import status_of_report
from demo.full_engines import (
    ENGINE,
    TENSORRT_DIALECTS,
    engines_one_by_one,
    full_size_bundle,
    record_from_compiled,
)
from demo.full_size import command_cost
from demo.full_sizes import size_records
from demo.random_checkpoint import spec_named, write_random_checkpoint
from demo.rivals.pictures import write_pictures
from demo.rivals.process import ProcessCost, process_cost
from demo.rivals.subject import cut_decoder
from edge_runtime.bench.machine import machine_here, versions_here
from edge_runtime.bundle import Bundle
from edge_runtime.errors import EdgeVLError
from edge_runtime.spec import ModelSpec, Role
from export.engines.compilation import Compiled
from export.exporter import export_bundle
from export.options import ExportOptions

OBSERVERS = ("minmax", "percentile")
SEEN = 2  # pictures where their number changes no size and no kernel
RATIO_BAR = 2.0
SIZE_BAR = 0.02  # to either side: less than there should be is no gain but a mistake
PEAK_BARS_MIB: Mapping[str, int] = {"vision_low": 3072, "vision_high": 5120, "weights": 3072}
WEIGHTS_BAR_S = 60
# What `calibrate` is asked for, by a name of ours.
CHOICES: Mapping[str, dict[str, str]] = {
    "w4": {"vision": "fp16", "decoder": "int4", "head": "int4"},
    "w8": {"vision": "fp16", "decoder": "int8", "head": "int8"},
    "default": {"vision": "int8", "decoder": "int4", "head": "int8"},
}


@dataclass(frozen=True)
class Plan:
    """`images` go through ranges for memory, `compared` of them through float and ranges in turn for time."""

    size: str
    folder: Path
    images: int
    compared: int
    context: int

    @property
    def spec(self) -> ModelSpec:
        return spec_named(self.size)

    @property
    def pictures(self) -> Path:
        count = max(self.images, self.compared, SEEN)
        folder = self.folder / "pictures"
        write_pictures(folder, range(count))
        return folder


def ranges_part(plan: Plan) -> list[dict[str, object]]:
    """Every tower with every observer. The decoder plays no part in it and is cut."""
    checkpoint, out = plan.folder / "towers-checkpoint", plan.folder / f"{plan.size}-towers"
    if not out.exists():
        write_random_checkpoint(cut_decoder(plan.spec, 1), checkpoint, "original")
        export_bundle(checkpoint, out, ExportOptions(("ort",), "fp32", plan.context))
        shutil.rmtree(checkpoint)
    roles: list[Role] = ["vision_low"] if plan.spec.high is None else ["vision_low", "vision_high"]
    return [ranges_record(plan, out, role, observer) for role in roles for observer in OBSERVERS]


def ranges_record(plan: Plan, bundle: Path, role: Role, observer: str) -> dict[str, object]:
    cost, _ = child(plan, "memory", bundle, role, observer, plan.images)
    _, times = child(plan, "time", bundle, role, observer, plan.compared)
    record: dict[str, object] = {
        "role": role,
        "observer": observer,
        "images": plan.images,
        "seconds": cost.seconds,
        "cpu_seconds": cost.cpu_seconds,
        "peak_held_mib": cost.peak_held_mib,
        "peak_resident_mib": cost.peak_resident_mib,
        "peak_bar_mib": PEAK_BARS_MIB[role],
        "compared": times,
        "ratio": round(times["ranges_s"] / times["float_s"], 3),
        "cpu_ratio": round(times["ranges_cpu_s"] / times["float_cpu_s"], 3),
        "ratio_bar": RATIO_BAR,
    }
    print(f"{role} {observer}: {record}", file=sys.stderr, flush=True)
    return record


def child(
    plan: Plan, what: str, bundle: Path, role: Role, observer: str, count: int
) -> tuple[ProcessCost, dict[str, float]]:
    command: list[str | Path] = [
        sys.executable, "-m", "demo.full_ranges", what, bundle, role, observer, plan.pictures, str(count)
    ]  # fmt: skip
    cost = process_cost(command, plan.folder / "log.txt")
    if cost.fault:
        what = f"ranges of {role} cannot be measured"
        raise EdgeVLError("EVL-FULL-SIZE", what, cost.fault, f"see {plan.folder / 'log.txt'}")
    return cost, json.loads(cost.last_line)


def sizes_part(plan: Plan) -> list[dict[str, object]]:
    """Quantised bundles for ONNX Runtime: what making them cost, what they take, and an answer from each."""
    source = plan.folder / f"{plan.size}-ort"
    checkpoint = plan.folder / plan.size
    if not source.exists():
        if not checkpoint.exists():
            write_random_checkpoint(plan.spec, checkpoint, "original")
        command_cost("export", checkpoint, source, "--max-context", str(plan.context))
    return [sizes_record(plan, source, name) for name in CHOICES]


def sizes_record(plan: Plan, source: Path, name: str) -> dict[str, object]:
    out = plan.folder / f"{plan.size}-{name}"
    choices = CHOICES[name]
    options = [word for role, choice in choices.items() for word in (f"--{role}", choice)]
    if choices["vision"] == "int8":
        options += ["--images", str(plan.pictures), "--limit", str(SEEN)]
    cost = command_cost("calibrate", source, out, *options, "--json")
    record: dict[str, object] = {
        "name": name,
        "options": " ".join(each for each in options if each != str(plan.pictures)),
        "seconds": cost.seconds,
        "peak_held_mib": cost.peak_held_mib,
        "peak_resident_mib": cost.peak_resident_mib,
        "answered_tokens": answered_tokens(out, min(plan.pictures.iterdir())),
        "sizes": size_records(Bundle.open(out, is_trusted=True), "ort", choices),
        "size_bar": SIZE_BAR,
    }
    if name == "w4":
        record |= {"seconds_bar": WEIGHTS_BAR_S, "peak_bar_mib": PEAK_BARS_MIB["weights"]}
    shutil.rmtree(out)
    print(f"{name}: {record}", file=sys.stderr, flush=True)
    return record


def answered_tokens(bundle: Path, picture: Path) -> int:
    words = ("--prompt", "What is it?", "--max-tokens", "4", "--json")
    said = json.loads(command_cost("run", bundle, "--image", picture, *words).last_line)
    tokens: int = said["usage"]["completion_tokens"]
    return tokens


def engines_part(plan: Plan) -> list[dict[str, object]]:
    """All roles with the default choices, compiled in both TensorRT dialects."""
    source = full_size_bundle(plan.size, plan.folder, TENSORRT_DIALECTS, plan.context)
    out = plan.folder / f"{plan.size}-engines-default"
    if not out.exists():
        command_cost(
            "calibrate", source.folder, out, "--images", plan.pictures, "--limit", str(SEEN), "--json"
        )
    return list(engine_records(source, Bundle.open(out, is_trusted=True), plan.folder))


def engine_records(source: Bundle, bundle: Bundle, folder: Path) -> Iterator[dict[str, object]]:
    for compiled in engines_one_by_one(bundle, TENSORRT_DIALECTS, folder):
        names = layer_names(source, source.graph(compiled.role, compiled.dialect))
        record = record_from_compiled(compiled, bundle) | {
            "is_attention_fused": compiled.has_fused_attention(bundle.spec),
            "float_products": float_products(compiled, names),
        }
        print(f"{compiled.dialect} {compiled.name}: {record}", file=sys.stderr, flush=True)
        yield record


def float_products(compiled: Compiled, names: Collection[str]) -> list[str]:
    """Layers with integer weights that the compiler multiplies as floats all the same: there should be none."""
    products = [each for profile in compiled.plan.profiles for each in profile.products or ()]
    return [
        layer
        for each in products
        if each.kind == "matmul" and "int" not in each.right
        for layer in each.layers
        if layer.partition("/")[0] in names
    ]


PARTS: Mapping[str, Callable[[Plan], list[dict[str, object]]]] = {
    "ranges": ranges_part,
    "sizes": sizes_part,
    "engines": engines_part,
}


def report_from_arguments(arguments: argparse.Namespace) -> dict[str, object]:
    plan = Plan(arguments.size, arguments.folder, arguments.images, arguments.compared, arguments.context)
    plan.folder.mkdir(parents=True, exist_ok=True)
    parts = arguments.part or list(PARTS)
    options = f"--images {plan.images} --compared {plan.compared} --context {plan.context}"
    return {
        "kind": "edge-vl calibration at full size",
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        "command": f"python -m demo.full_calibration {plan.size} FOLDER {options}"
        + "".join(f" --part {name}" for name in arguments.part),
        "machine": asdict(machine_here()),
        "versions": asdict(versions_here()) | {ENGINE: engine_version()},
        "weights": "random",
        "quiet": not arguments.is_busy,
        **{name: PARTS[name](plan) for name in parts},
    }


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
        lines += [engine_row(each) for each in report["engines"]]
    busy = "" if report["quiet"] else " The machine was busy: times are not to be taken from it."
    return "\n".join([*lines, "", f"Figures: [{name}](docs/calibration/{name}).{busy}"]).lstrip("\n")


def ranges_row(record: Mapping[str, Any]) -> str:
    return (
        f"| {record['role']} | {record['observer']} | {record['images']} | {record['ratio']:.2f}"
        f" | {record['peak_resident_mib'] / 1024:.1f} GiB |"
    )


def sizes_row(record: Mapping[str, Any]) -> str:
    whole = record["sizes"][-1]
    return (
        f"| {record['options']} | {whole['bytes'] / (1 << 30):.2f} GiB | {100 * (whole['ratio'] - 1):+.1f} %"
        f" | {record['seconds']:.0f} s | {record['peak_resident_mib'] / 1024:.1f} GiB |"
    )


def engine_row(record: Mapping[str, Any]) -> str:
    (profile,) = record["profiles"]
    products = ", ".join(f"{count} {types}" for types, count in profile["products"].items())
    fused, wanted = sum(profile["fused_attention"].values()), record["attention_layers"]
    return (
        f"| {record['engine']} | {record['dialect']} | {products} | {len(record['float_products'])} | {f'{fused}/{wanted}' if wanted else '–'}"
        f" | {record['plan_bytes'] / 1e6:.0f} MB |"
    )


def parser_of_command() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m demo.full_calibration", description=__doc__)
    parser.add_argument("size", metavar="SIZE")
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="a folder with room for 40 GB")
    parser.add_argument("--part", action="append", default=[], choices=list(PARTS), help="default: all")
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
