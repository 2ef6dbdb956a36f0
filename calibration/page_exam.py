"""What the page says about an exam that both bundles sat: accuracy before and after, and what changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from calibration.page_markup import escaped, folded, left_out_text, listed, plural, section, table
from calibration.page_plot import Bar, bars

FIRST = 24  # tasks; the rest when asked

Task = Mapping[str, Any]


def exam_section(report: Mapping[str, Any]) -> str:
    if "accuracy" not in report:
        return ""
    accuracy = report["accuracy"]
    tasks, left_out = accuracy["tasks"], accuracy.get("left_out", {})
    first, rest = tasks_table(tasks[:FIRST]), tasks_table(tasks[FIRST:])
    return section(
        "Right answers before and after",
        overall_text(accuracy),
        overall_plot(accuracy),
        first,
        folded(f"{len(tasks) - FIRST} more tasks", rest),
        left_out_text(left_out.get("tasks", 0)),
        changed_parts(accuracy["changed"]),
        left_out_text(left_out.get("changed", 0)),
        folded(
            "pictures that could not be opened", listed(accuracy.get("broken", ()), left_out.get("broken", 0))
        ),
        folded(
            "lines that were counted once", listed(accuracy.get("repeated", ()), left_out.get("repeated", 0))
        ),
    )


def overall_text(accuracy: Mapping[str, Any]) -> str:
    before, after = (f"{accuracy[name]:.1%}" for name in ("before", "after"))
    said = f"{before} → {after} of {plural(accuracy['questions'], 'question')}: {difference(-accuracy['lost_points'])}."
    return f"<p><b>{escaped(said)}</b></p>"


def overall_plot(accuracy: Mapping[str, Any]) -> str:
    found = [
        Bar(label, (("agreed", share), ("parted", 1 - share)), f"{share:.1%}")
        for label, share in (("before", accuracy["before"]), ("after", accuracy["after"]))
    ]
    return bars(found, "share of right answers", 1.0)


def difference(points: float) -> str:
    """With its sign, and never a zero below zero."""
    rounded = round(points, 1) + 0.0
    return "no difference" if rounded == 0 else f"{rounded:+.1f} points"


def tasks_table(tasks: Sequence[Task]) -> str:
    rows = [
        (
            task["task"],
            task["questions"],
            f"{task['before']:.1%}",
            f"{task['after']:.1%}",
            f"{round(100 * (task['after'] - task['before']), 1) + 0.0:+.1f}",
        )
        for task in tasks
    ]
    return table(("task", "questions", "before", "after", "points"), rows)


def changed_parts(changed: Sequence[Mapping[str, str]]) -> str:
    """Worse first: what was right before."""
    parts = {"right before, wrong now": list[Mapping[str, str]](), "wrong before, right now": []}
    for each in changed:
        was_right = each["before"].strip() == each["expected"].strip()
        parts["right before, wrong now" if was_right else "wrong before, right now"].append(each)
    return "".join(
        folded(f"{plural(len(found), 'question')} {said}", changed_table(found))
        for said, found in parts.items()
    )


def changed_table(changed: Sequence[Mapping[str, str]]) -> str:
    names = ("sample", "prompt", "expected", "before", "after")
    return table(names, [[each[name] for name in names] for each in changed], texts=len(names))
