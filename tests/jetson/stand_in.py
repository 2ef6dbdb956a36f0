"""`edge-vl` and its board as an acceptance meets them, where nothing is built and nothing answers."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jetson.acceptance import status_of_command
from jetson.acceptance_run import Commands
from jetson.stop import Stop
from tests.jetson import scripted_verb
from tests.jetson.scripted_verb import Said as Said

PLACE = {
    "engine": "tensorrt",
    "version": "10.3.0",
    "gpu": {"name": "Orin", "architecture": "sm87", "driver": "12.6"},
}
BENCH = {
    "answer": {"first_token_ms": {"median": 300.0}, "decode_tokens_per_s": {"median": 40.0}},
    "memory": {"peak": {"held_mib": 2000.0}},
}
GOOD: Mapping[str, Any] = {
    "board": {"model": "NVIDIA Jetson Orin Nano", "gpu": PLACE["gpu"], "faults": []},
    "verify": {"passed": True, "files": 9},
    "verify --against": {"passed": True, "files": 9},
    "build --dry-run": {"place": PLACE, "engines": [{"engine": "decoder", "shortage": None}]},
    "build": {
        "place": PLACE,
        "engines": [{"engine": "decoder", "bytes": 3 << 20}],
        "trial": {"words": "every engine agrees"},
    },
    "run tensorrt": {"engine": "tensorrt", "token_ids": [5, 6, 7], "tokens_per_s": 40.0},
    "run onnxruntime": {"engine": "onnxruntime", "token_ids": [5, 6, 7], "tokens_per_s": 4.0},
    "bench tensorrt": {"engine": "tensorrt", **BENCH},
    "bench onnxruntime": {"engine": "onnxruntime", **BENCH},
}


def error(code: str, why: str = "it is so") -> dict[str, object]:
    return {"error": {"code": code, "what": f"{code} happened", "why": why, "fix": "mend it"}}


@dataclass
class StandIn:
    """`answers` are by verb; where nothing is said of one, it is what a board says on which everything works."""

    folder: Path
    answers: Mapping[str, Said] = field(default_factory=dict)

    @property
    def commands(self) -> Commands:
        said = {name: Said(answer) for name, answer in GOOD.items()} | dict(self.answers)
        (self.folder / "answers.json").write_text(
            json.dumps({name: vars(each) for name, each in said.items()})
        )
        script = (sys.executable, scripted_verb.__file__, str(self.folder))
        return Commands(edge_vl=(*script, "verb"), board=(*script, "board"))

    def calls(self) -> list[list[str]]:
        lines = (self.folder / "calls").read_text().splitlines()
        return [json.loads(line)["arguments"] for line in lines]

    def last_pid(self) -> int:
        return int(json.loads((self.folder / "calls").read_text().splitlines()[-1])["pid"])


@dataclass(frozen=True)
class Accepted:
    status: int
    out: str
    err: str

    def step(self, out: Path, name: str) -> dict[str, Any]:
        return next(each for each in report_in(out)["steps"] if each["name"] == name)


def report_in(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_bytes())
    return found


def accepted(arguments: Sequence[str | Path], commands: Commands) -> Accepted:
    """In this process; what it runs are processes of their own."""
    out, lines = io.StringIO(), list[str]()
    status = status_of_command([str(each) for each in arguments], commands, Stop(), out, lines.append)
    return Accepted(status, out.getvalue(), "\n".join(lines))
