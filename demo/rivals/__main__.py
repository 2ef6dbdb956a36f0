"""Our quantisers and the field's side by side: `python -m demo.rivals SIZE FOLDER`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from demo.command import status_of_report
from demo.rivals.bout import OURS, Contest, contestants_named
from demo.rivals.earlier import completed, earlier_report
from demo.rivals.environments import ENVIRONMENTS, version_of
from demo.rivals.process import Limits
from demo.rivals.subject import CUT_LAYERS, subject_bundle, subjects_of
from edge_runtime.bench.machine import core_count, machine_here, versions_here


def report_from_arguments(arguments: argparse.Namespace) -> dict[str, object]:
    if arguments.complete is None:
        return measured(arguments)
    earlier = earlier_report(arguments.complete)  # before the hour begins
    return completed(measured(arguments), earlier, str(arguments.complete))


def measured(arguments: argparse.Namespace) -> dict[str, object]:
    chosen = contestants_named(arguments.only)
    bundle = subject_bundle(arguments.size, arguments.folder)
    few, many, held_out = arguments.few, arguments.many, arguments.held_out
    subjects = subjects_of(bundle, arguments.folder / "samples", few, many, held_out)
    contest = Contest(subjects, arguments.folder, core_count(), Limits(1024 * arguments.limit_gib))
    records = []
    for contestant in chosen:
        records.append(contest.record(contestant))
        print(f"{contestant.name}: {records[-1]}", file=sys.stderr, flush=True)
    tools = {each.tool for each in chosen} - {OURS}
    theirs = {name: version_of(ENVIRONMENTS[name], arguments.folder / "environments") for name in tools}
    return {
        "kind": "edge-vl and rivals, the same graph and samples",
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        "command": f"python -m demo.rivals {arguments.size} FOLDER --few {few} --many {many} --held-out {held_out}"
        f" --limit-gib {arguments.limit_gib:g}" + "".join(f" --only {word}" for word in arguments.only),
        "machine": asdict(machine_here()),
        "versions": asdict(versions_here()) | dict(sorted(theirs.items())),
        "weights": "random",
        "decoder_layers": min(CUT_LAYERS, bundle.spec.decoder.layers),
        "held_out": held_out,
        "quiet": not arguments.is_busy,
        "records": records,
    }


def table_from_report(report: Mapping[str, Any], name: str) -> str:
    """The committed table of one report; `name` is its file."""
    lines = [
        "| graph | tool | method | samples | SQNR | weights | time | processor time | peak RSS |",
        "|---|---|---|---|---|---|---|---|---|",
        *(row_from_record(each) for each in report["records"]),
    ]
    busy = "" if report["quiet"] else " The machine was busy: times are not to be compared."
    return "\n".join([*lines, "", f"Figures: [{name}](docs/calibration/{name}).{busy}"])


def row_from_record(record: Mapping[str, Any]) -> str:
    said = [record["role"], record["tool"], record["method"], str(record["samples"])]
    if record["fault"]:
        fault = record["fault"].replace("|", "\\|")  # else a progress bar makes cells of its own
        said += [f"– ({fault})", "–"]
    else:
        said += [f"{record['sqnr_db']:.1f} dB", f"{record['weight_bytes'] / 1e6:.0f} MB"]
    peak = f"{record['peak_resident_mib'] / 1024:.1f} GiB"
    said += [f"{record['seconds']:.0f} s", f"{record['cpu_seconds']:.0f} s", peak]
    return f"| {' | '.join(said)} |"


def parser_of_command() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m demo.rivals", description=__doc__)
    parser.add_argument("size", metavar="SIZE")
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="a folder with room for 20 GB")
    parser.add_argument("--few", type=int, default=4, help="samples that everybody is given")
    parser.add_argument("--many", type=int, default=32, help="samples for those who can take more")
    parser.add_argument("--held-out", type=int, default=4, help="samples that nobody is given")
    parser.add_argument("--limit-gib", type=float, default=20.0, help="who holds more is ended")
    parser.add_argument("--only", action="append", default=[], metavar="WORD", help="contestants by name")
    parser.add_argument("--complete", type=Path, metavar="REPORT", help="an earlier report, for all others")
    parser.add_argument("--is-busy", action="store_true", help="say that times are not to be compared")
    parser.add_argument("--out", type=Path, help="a new file for the report")
    return parser


def main() -> int:
    arguments = parser_of_command().parse_args()
    return status_of_report(lambda: report_from_arguments(arguments), arguments.out)


if __name__ == "__main__":
    sys.exit(main())
