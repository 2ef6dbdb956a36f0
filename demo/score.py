"""What an answer is worth: exactly right, or for a box near enough; and what many of them come to, on paper."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from demo.data.scene import TASKS
from edge_runtime.bench.machine import Machine, Versions
from edge_runtime.manifest import Calibration
from edge_runtime.record import json_from_record

Corners = tuple[int, int, int, int]  # left, top, right, bottom, each 0 to 999
BOX_TASK = "box"
RIGHT_IOU = 0.5
BOX = re.compile(r"\[" + r",".join([r"\s*([0-9]{1,3})\s*"] * 4) + r"\]")
DIGITS = 6
KIND: Final = "edge-vl demo evaluation"
FORMAT = 1


@dataclass(frozen=True)
class Outcome:
    """One question, asked. `iou` is None where no box was asked for."""

    task: str
    question: str
    expected: str
    got: str
    is_right: bool
    iou: float | None = None


@dataclass(frozen=True)
class Score:
    """Shares of right answers; `counts` says of how many. `box_iou` is a mean, None without boxes."""

    overall: float
    tasks: dict[str, float]
    n: int
    box_iou: float | None
    counts: dict[str, int]


@dataclass(frozen=True)
class Report:
    """What was asked of what, and what came of it; `seconds` are of the answers alone."""

    kind: Literal["edge-vl demo evaluation"]
    format: int
    model: str  # the folder's name
    command: str
    date: str
    engine: str
    precision: dict[str, str]
    machine: Machine
    versions: Versions
    questions: str
    seed: int | None
    blank: bool
    seconds: float
    score: Score
    wrong: tuple[Outcome, ...]  # the first few, as many as were wanted
    # Of a quantised bundle: what its integers were fitted to, and the recipe that its `quality.json` names.
    calibration: Calibration | None = None
    recipe: dict[str, str] | None = None

    def to_json(self) -> dict[str, object]:
        return json_from_record(self)

    def summary(self) -> dict[str, object]:
        """The last line of stdout under --json."""
        score = self.score
        return {
            "overall": score.overall,
            "tasks": score.tasks,
            "n": score.n,
            "box_iou": score.box_iou,
            "blank": self.blank,
            "counts": score.counts,
            "questions": self.questions,
        }

    def lines(self) -> Iterator[str]:
        """The same for people, as a table."""
        score = self.score
        wide = max(len(name) for name in ("overall", *score.tasks))
        yield f"{self.model}, {self.questions}{', BLANKED pictures' if self.blank else ''}, {self.seconds:.1f} s"
        for name, share in (*score.tasks.items(), ("overall", score.overall)):
            yield f"{name:<{wide}}  {share:7.1%}  of {score.counts.get(name, score.n)}"
        if score.box_iou is not None:
            yield f"mean IoU of boxes  {score.box_iou:.3f}"
        yield from self.wrong_lines()

    def wrong_lines(self) -> Iterator[str]:
        for each in self.wrong:
            yield f"{each.task}: {each.question!r} expected {each.expected!r} got {each.got!r}"


def outcome_of(task: str, question: str, expected: str, got: str) -> Outcome:
    """Answers are equal but for space around them; a box is right at an IoU of one half."""
    if task != BOX_TASK:
        return Outcome(task, question, expected, got, got.strip() == expected.strip())
    wanted, given = box_from_text(expected), box_from_text(got)
    assert wanted is not None, f"{expected!r} is no box"
    iou = 0.0 if given is None else iou_of(wanted, given)
    return Outcome(task, question, expected, got, iou >= RIGHT_IOU, iou)


def box_from_text(text: str) -> Corners | None:
    """`[left,top,right,bottom]` and nothing else; None for all other text, and for boxes without area."""
    if (found := BOX.fullmatch(text.strip())) is None:
        return None
    left, top, right, bottom = (int(digits) for digits in found.groups())
    return (left, top, right, bottom) if left < right and top < bottom else None


def iou_of(one: Corners, other: Corners) -> float:
    """The area both cover, of the area either covers."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(width, 0) * max(height, 0)
    return shared / (area_of(one) + area_of(other) - shared)


def area_of(box: Corners) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])


def score_from_outcomes(outcomes: Iterable[Outcome]) -> Score:
    found = list(outcomes)
    assert found, "nothing was asked"
    by_task: dict[str, list[Outcome]] = {}
    for outcome in found:
        by_task.setdefault(outcome.task, []).append(outcome)
    names = in_order(by_task)
    ious = [outcome.iou for outcome in found if outcome.iou is not None]
    return Score(
        overall=share_of(found),
        tasks={name: share_of(by_task[name]) for name in names},
        n=len(found),
        box_iou=round(sum(ious) / len(ious), DIGITS) if ious else None,
        counts={name: len(by_task[name]) for name in names},
    )


def share_of(outcomes: Sequence[Outcome]) -> float:
    return round(sum(outcome.is_right for outcome in outcomes) / len(outcomes), DIGITS)


def in_order(names: Iterable[str]) -> list[str]:
    """Our own tasks as they are listed, then others as they came."""
    found = list(names)
    known = [task for task in TASKS if task in found]
    return known + [name for name in found if name not in known]
