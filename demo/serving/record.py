"""How a measurement of the server is run, and what it leaves behind."""

from __future__ import annotations

import argparse
import json
import resource
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from demo.circumstances import circumstances
from edge_runtime.publish import staged_file_if_wanted
from edge_runtime.record import bytes_from_json

Figures = Mapping[str, object]
Measure = Callable[[Path, Mapping[str, int]], Figures]


def ran(kind: str, measure: Measure, numbers: Mapping[str, int]) -> int:
    """`python -m demo.serving.NAME BUNDLE [--NUMBER N ...] [--out FILE]`; status 1 where `is_met` is not so."""
    parser = argparse.ArgumentParser(description=kind)
    parser.add_argument("bundle", type=Path)
    for name, default in numbers.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--out", type=Path, help="where the record goes; must not exist")
    chosen = vars(parser.parse_args())
    bundle, out = chosen.pop("bundle"), chosen.pop("out")
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(
        resource.RLIMIT_NOFILE, (most, most)
    )  # thousands of connections; the server inherits it
    with staged_file_if_wanted(out) as staged:
        figures = measure(bundle, chosen)
        command = [f"python -m demo.serving.{Path(sys.argv[0]).stem}", bundle.name]
        record = record_of(
            kind, bundle, figures, [*command, *(f"--{name} {value}" for name, value in chosen.items())]
        )
        print(json.dumps(record))
        if staged is not None:
            staged.write_bytes(bytes_from_json(record))
    return 0 if figures["is_met"] else 1


def record_of(kind: str, bundle: Path, figures: Figures, command: Sequence[str]) -> dict[str, object]:
    return {
        "kind": kind,
        "bundle": bundle.name,
        **figures,
        **circumstances(" ".join(command)),
    }


def value_at(values: Sequence[float], share: float) -> float:
    """The value that this share of them does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
