"""A report of some contestants, completed with what an earlier one says of the others: all of them take an hour."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from demo.rivals.bout import CONTESTANTS
from edge_runtime.errors import EdgeVLError

SAME = ("kind", "machine", "weights", "decoder_layers", "held_out")  # else the figures are of something else
OWN = ("date", "command", "versions", "quiet")  # of each run


def earlier_report(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as fault:
        what, fix = f"{path} cannot be completed", "give the JSON of an earlier run"
        raise EdgeVLError("EVL-USAGE", what, str(fault), fix) from fault
    return found


def completed(report: Mapping[str, Any], earlier: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Rows that were measured now, then those that were not, in the order of contestants; every run is named.

    EVL-USAGE where the earlier report is about other graphs, or another machine.
    """
    for key in SAME:
        if report[key] != earlier.get(key):
            what, why = (
                f"{where} cannot be completed",
                f"its {key} is {earlier.get(key)!r}, not {report[key]!r}",
            )
            raise EdgeVLError("EVL-USAGE", what, why, "run all contestants anew")
    measured = {contestant_of(record) for record in report["records"]}
    kept = [record for record in earlier["records"] if contestant_of(record) not in measured]
    runs = [*earlier.get("earlier", []), {key: earlier[key] for key in OWN}]
    places = {(each.tool, each.method, each.has_many): place for place, each in enumerate(CONTESTANTS)}
    fewest = min(record["samples"] for record in (*report["records"], *kept))

    def place(record: Mapping[str, Any]) -> int:
        return places[record["tool"], record["method"], record["samples"] > fewest]

    records = sorted((*report["records"], *kept), key=place)
    return {**report, "earlier": runs, "quiet": report["quiet"] and earlier["quiet"], "records": records}


def contestant_of(record: Mapping[str, Any]) -> tuple[str, str, int]:
    return record["tool"], record["method"], record["samples"]
