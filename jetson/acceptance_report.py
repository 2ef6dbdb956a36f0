"""What became of an acceptance, step by step: enough to judge a board from afar."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final, Literal

from edge_runtime.version import VERSION

FORMAT = 1
KIND: Final = "edge-vl acceptance"

Status = Literal["passed", "failed", "skipped", "interrupted"]


@dataclass(frozen=True)
class Outcome:
    """`reason` is "" where the step passed. What was not run has neither exit status nor seconds; what is compared
    within this process has no command. `answer` is the JSON object that it ended with; `stderr` its last lines where it
    failed."""

    name: str
    status: Status
    reason: str = ""
    command: str | None = None
    exit_status: int | None = None
    seconds: float | None = None
    answer: dict[str, object] | None = None
    stderr: tuple[str, ...] = ()

    def field(self, *path: str) -> object:
        """Of the answer; None where there is no such field."""
        found: object = self.answer
        for name in path:
            found = found.get(name) if isinstance(found, dict) else None
        return found


@dataclass(frozen=True)
class Report:
    """`stopped_by` is the signal that ended it early, "" where it went its way."""

    bundle: str
    command: str
    date: str
    stopped_by: str
    outcomes: tuple[Outcome, ...]

    @property
    def verdict(self) -> str:
        statuses = [each.status for each in self.outcomes]
        skipped = statuses.count("skipped")
        if "failed" in statuses:
            return "failed"
        if self.stopped_by:
            return f"interrupted by {self.stopped_by}"
        if skipped:
            return f"partly: {skipped} step{'s' if skipped > 1 else ''} skipped"
        return "passed"

    def to_json(self) -> dict[str, object]:
        return {
            "kind": KIND,
            "format": FORMAT,
            "edge_vl": VERSION,
            "date": self.date,
            "bundle": self.bundle,
            "command": self.command,
            "verdict": self.verdict,
            "interrupted": self.stopped_by or None,
            "steps": [{**asdict(each), "stderr": list(each.stderr)} for each in self.outcomes],
        }


def command_line(words: Sequence[str]) -> str:
    """As it can be pasted."""
    return as_text(shlex.join(words))


def as_text(path: str) -> str:
    """Bytes of a path that are no text are no JSON either."""
    return path.encode("utf-8", "backslashreplace").decode("utf-8")
