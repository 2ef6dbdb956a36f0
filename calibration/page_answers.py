"""What the page says about answers: how near they are to the float model's, over positions and sample by sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from calibration.page_markup import folded, key, left_out_text, nats, paragraph, plural, section, table
from calibration.page_plot import Bar, bars, columns

Answers = Sequence[Mapping[str, Any]]


def answers_section(report: Mapping[str, Any]) -> str:
    heading, answers = "The same answers?", report["answers"]
    if report["agreement"] is None:
        return section(heading, paragraph("No samples were given, so the two models were not compared."))
    text = "The float model's greedy answers, and what the quantised model thinks at each of their places."
    parts = (positions_plots(answers), greedy_plot(answers), folded("every sample", answers_table(answers)))
    left_out = left_out_text(report.get("left_out", {}).get("answers", 0))
    return section(heading, paragraph(text), *parts, left_out)


def positions_plots(answers: Answers) -> str:
    """Means over the answers that reach a position; of reports that tell places one by one."""
    if not answers or not all("kl_at" in each for each in answers):
        return ""
    kl = means([each["kl_at"] for each in answers])
    top1 = means([[place not in each["differs_at"] for place in range(each["tokens"])] for each in answers])
    peak = max(kl) or 1.0
    counts = [sum(each["tokens"] > place for each in answers) for place in range(len(kl))]
    rows = [
        (place, count, nats(lost), f"{same:.1%}")
        for place, count, lost, same in zip(range(1, len(kl) + 1), counts, kl, top1, strict=True)
    ]
    return (
        "<h3>Over positions</h3>"
        + columns(top1, "int8", "top-1 agreement over positions", "likeliest in both: 100 %")
        + columns([each / peak for each in kl], "int4", "KL over positions", f"KL: {nats(peak)}")
        + folded("every position", table(("position", "answers", "KL", "likeliest in both"), rows, texts=0))
    )


def means(every: Sequence[Sequence[float]]) -> list[float]:
    """At each place, over those that are long enough."""
    found = []
    for place in range(max(len(each) for each in every)):
        there = [float(each[place]) for each in every if len(each) > place]
        found.append(sum(there) / len(there))
    return found


def greedy_plot(answers: Answers) -> str:
    found = [
        Bar(
            f"answer {number}",
            (("agreed", each["agreed"]), ("parted", each["tokens"] - each["agreed"])),
            f"{each['agreed']} of {each['tokens']}",
        )
        for number, each in enumerate(answers, start=1)
    ]
    if not found:
        return ""
    text = paragraph(f"Greedy tokens until the two models part, in {plural(len(answers), 'answer')}.")
    drawn = bars(found, "greedy tokens until the models part")
    return f"<h3>How long they say the same</h3>{text}{key(('agreed', 'parted'))}{drawn}"


def answers_table(answers: Answers) -> str:
    rows = [
        (each["sample"], each["tokens"], each["agreed"], f"{each['top1']:.1%}", f"{each['kl']:.2e}")
        for each in answers
    ]
    return table(("sample", "tokens", "until they part", "likeliest in both", "KL"), rows)
