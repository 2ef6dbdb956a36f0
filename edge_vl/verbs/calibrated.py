"""What `edge-vl calibrate` tells when it is done."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_runtime.errors import listed, typed
from edge_runtime.manifest import QUALITY_NAME
from edge_vl.verbs.verify import quality_in_words

if TYPE_CHECKING:
    from calibration.evaluation import Exam
    from calibration.samples import SampleSet
    from edge_runtime.manifest import Manifest
    from edge_vl.terminal import Terminal

NAME_WIDTH = 12
WORST = 3  # of the layers that were ranked
EXAM_FIGURES = ("questions", "before", "after", "lost_points")


@dataclass(frozen=True, eq=False)
class Done:
    """A calibration that went well; `report` is its quality.json."""

    out: Path
    before: Manifest
    after: Manifest
    samples: SampleSet
    exam: Exam | None
    seconds: float
    report: Mapping[str, Any]

    @property
    def layers(self) -> dict[str, dict[str, int]]:
        """How many layers of each role became what, the fewest bits first; roles that were left alone do not come up."""
        return {role: counts_of(every) for role, every in self.report["roles"].items() if every}

    @property
    def accuracy(self) -> dict[str, Any] | None:
        """What became of the exam, but for the single questions."""
        found = self.report.get("accuracy")
        return None if found is None else {name: found[name] for name in EXAM_FIGURES}

    @property
    def budget(self) -> dict[str, Any] | None:
        """What was wanted, reached and done for it."""
        found: dict[str, Any] | None = self.report.get("budget")
        return found

    @property
    def broken_questions(self) -> list[str]:
        return [] if self.exam is None else [plain(each) for each in self.exam.broken]

    @property
    def repeated_questions(self) -> list[str]:
        return [] if self.exam is None else [plain(each) for each in self.exam.repeated]


def counts_of(layers: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    from calibration.page_markup import KINDS, kind_of

    counts = Counter(str(layer["as"]) for layer in layers)
    return {
        name: counts[name] for name in sorted(counts, key=lambda name: (KINDS.index(kind_of(name)), name))
    }


def report_in(out: Path) -> Mapping[str, Any]:
    found: dict[str, Any] = json.loads((out / QUALITY_NAME).read_bytes())
    return found


def json_from_done(done: Done) -> dict[str, object]:
    return {
        "out": plain(str(done.out)),
        "bytes_before": size_of(done.before),
        "bytes": size_of(done.after),
        "precision": {entry.role: entry.precision for entry in done.after.graphs},
        "layers": done.layers,
        "samples": len(done.samples.samples),
        "broken": [plain(each) for each in done.samples.broken],
        "ignored": [plain(each) for each in done.samples.ignored],
        "broken_questions": done.broken_questions,
        "repeated_questions": done.repeated_questions,
        "quality": done.after.quality,
        "accuracy": done.accuracy,
        "budget": done.budget,
        "seconds": round(done.seconds, 2),
    }


def show(done: Done, terminal: Terminal) -> None:
    for line in (
        *left_out_lines(done),
        *role_lines(done),
        *differing_lines(done),
        *budget_lines(done),
        *harm_lines(done),
    ):
        terminal.line(line)
    terminal.line(", ".join(each for each in (size_text(done), samples_text(done)) if each))
    for line in quality_in_words(done.after.quality or {}):
        terminal.line(line)
    words = (done.out, "--image", "photo.jpg", "--prompt", "What is this?")
    terminal.line(f"next: {typed('edge-vl run', *words)}")


def left_out_lines(done: Done) -> list[str]:
    lines = [f"left out: {plain(each)}" for each in (*done.samples.broken, *done.broken_questions)]
    lines += [f"counted once: {each}" for each in done.repeated_questions]
    if done.samples.ignored:
        lines.append(f"not taken for pictures: {plain(listed(done.samples.ignored))}")
    return lines


def role_lines(done: Done) -> list[str]:
    """What every part became, the table and the cache too."""
    said: dict[str, str] = {entry.role: f"{entry.precision}, as it was" for entry in done.after.graphs}
    for role, counts in done.layers.items():
        said |= {role: ", ".join(f"{count} {name}" for name, count in counts.items())}
    before, after = done.before.embedding.precision, done.after.embedding.precision
    said |= {"embed": after if after != before else f"{after}, as it was"}
    if "cache" in done.report:
        cache = done.report["cache"]
        sizes = f"{cache['bytes_a_token_before']:,} → {cache['bytes_a_token']:,} bytes a token"
        said |= {"cache": f"int8 in {' and '.join(cache['dialects'])} graphs, {sizes}"}
    return [f"{name:{NAME_WIDTH}} {text}" for name, text in said.items()]


def differing_lines(done: Done) -> list[str]:
    """What was measured in one dialect is not what the others answer."""
    return [f"not alike in all dialects: {each}" for each in done.report.get("differing", [])]


def budget_lines(done: Done) -> list[str]:
    from calibration.page_budget import budget_rows
    from calibration.page_markup import plural

    if done.budget is None:
        return []
    lines = [
        f"{'budget':{NAME_WIDTH}} {name}: {wanted}, reached {reached}"
        for name, wanted, reached in budget_rows(done.budget)
    ]
    lifts, tries = done.budget["layers_lifted"], done.budget["tries"]
    steps = f"{plural(lifts, 'step')} of single layers towards float"
    measured = f"; {plural(tries, 'whole bundle')} measured on the way" if tries else ""
    return [*lines, f"{'':{NAME_WIDTH}} {steps}{measured}"]


def harm_lines(done: Done) -> list[str]:
    from calibration.page_budget import ranked_layers
    from calibration.page_markup import nats

    worst = [f"{role} {layer} {nats(harm)}" for role, layer, harm in ranked_layers(done.report)[:WORST]]
    return [f"{'most harm':{NAME_WIDTH}} {', '.join(worst)}: all layers are in quality.html"] if worst else []


def size_text(done: Done) -> str:
    before, after = (size_of(each) / (1 << 20) for each in (done.before, done.after))
    return f"{done.out}: {before:.1f} MiB → {after:.1f} MiB"


def samples_text(done: Done) -> str:
    from calibration.page import samples_words

    return samples_words(done.report)


def plain(text: str) -> str:
    """Names of files may be bytes that are no text."""
    return text.encode("utf-8", "replace").decode()


def size_of(manifest: Manifest) -> int:
    return sum(entry.bytes for entry in manifest.files)
