"""Who takes part, and what became of it."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import onnx_ir as ir

from demo.rivals import theirs
from demo.rivals.environments import ENVIRONMENTS, python_of
from demo.rivals.judge import Array, results_of, sqnr_db
from demo.rivals.process import Limits, process_cost
from demo.rivals.subject import Subject, held_out_of
from edge_runtime.errors import EdgeVLError

OURS = "edge-vl"


@dataclass(frozen=True)
class Contestant:
    """One method of one tool; `kind` says which subject it quantises."""

    tool: str
    method: str
    has_many: bool = False  # takes all samples, not the few that everybody can take

    @property
    def kind(self) -> str:
        return self.method.partition("-")[0]

    @property
    def name(self) -> str:
        return f"{self.tool}/{self.method}{'/many' if self.has_many else ''}"

    def command(self, environments: Path, words: Sequence[str | Path]) -> list[str | Path]:
        if self.tool == OURS:
            return [sys.executable, "-m", "demo.rivals.ours", self.method, *words]
        python = python_of(ENVIRONMENTS[self.tool], environments)
        # -P: a script's neighbours must not be mistaken for libraries.
        return [python, "-P", theirs.__file__, self.tool, self.method, *words]


CONTESTANTS = (
    *(Contestant(OURS, f"int8-{observer}") for observer in ("minmax", "percentile", "entropy", "mse")),
    Contestant(OURS, "int8-smooth"),
    *(Contestant(OURS, f"int8-{observer}", has_many=True) for observer in ("minmax", "percentile")),
    *(Contestant("onnxruntime", f"int8-{ranges}") for ranges in ("minmax", "percentile", "entropy")),
    *(Contestant("modelopt", f"int8-{ranges}") for ranges in ("max", "entropy")),
    *(Contestant(OURS, f"int4-{method}") for method in ("rtn", "gptq", "awq")),
    Contestant("onnxruntime", "int4-rtn"),
    *(Contestant("modelopt", f"int4-{method}") for method in ("rtn_dq", "awq_clip")),
)


def contestants_named(words: Sequence[str]) -> tuple[Contestant, ...]:
    """Those whose name contains one of the words; all of them where there are none."""
    found = tuple(each for each in CONTESTANTS if not words or any(word in each.name for word in words))
    if not found:
        what, why = f"nobody is called {', '.join(words)}", ", ".join(each.name for each in CONTESTANTS)
        raise EdgeVLError("EVL-USAGE", what, f"there are {why}", "choose some of these")
    return found


class Contest:
    """Each contestant in a process of its own; all are judged by the same float results on held-out samples."""

    def __init__(self, subjects: Mapping[str, Subject], folder: Path, threads: int, limits: Limits) -> None:
        self.subjects, self.folder, self.threads, self.limits = subjects, folder, threads, limits
        self._wanted: dict[str, list[Array]] = {}

    def record(self, contestant: Contestant) -> dict[str, object]:
        subject = self.subjects[contestant.kind]
        place = self.folder / "quantised" / contestant.name.replace("/", "-")
        shutil.rmtree(place, ignore_errors=True)
        target = place / "out" / "graph.onnx"
        target.parent.mkdir(parents=True)
        source = copied_graph(subject.graph, place / "in")
        samples = subject.many if contestant.has_many else subject.few
        command = contestant.command(self.folder / "environments", [source, samples, target])
        cost = process_cost(command, place / "log.txt", self.limits)
        said = asdict(cost)
        del said["last_line"]
        record: dict[str, object] = {
            "tool": contestant.tool,
            "method": contestant.method,
            "role": subject.role,
            "samples": len(list(samples.glob("*.npz"))),
            **said,
        }
        if not cost.fault:
            record |= self.judged(contestant, target)
            shutil.rmtree(place)  # gibibytes
        return record

    def judged(self, contestant: Contestant, target: Path) -> dict[str, object]:
        subject = self.subjects[contestant.kind]
        held_out = held_out_of(subject)
        if contestant.kind not in self._wanted:
            self._wanted[contestant.kind] = results_of(subject.graph, subject.output, held_out, self.threads)
        found = results_of(target, subject.output, held_out, self.threads)
        figure = sqnr_db(self._wanted[contestant.kind], found)
        return {"sqnr_db": round(figure, 2), "weight_bytes": weight_bytes(target)}


def copied_graph(graph: Path, folder: Path) -> Path:
    """The graph and its data files: some write beside what they read, and a link is refused by some."""
    folder.mkdir()
    for path in graph.parent.iterdir():
        if path.is_file() and path.name.partition(".")[0] == graph.stem:
            shutil.copyfile(path, folder / path.name)
    return folder / graph.name


def weight_bytes(graph: Path) -> int:
    tensors = (value.const_value for value in ir.load(graph).graph.initializers.values())
    return sum(tensor.nbytes for tensor in tensors if tensor is not None)
