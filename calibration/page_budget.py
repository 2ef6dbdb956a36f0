"""What the page says about budgets: what was wanted and reached, and the layers ranked by the harm they do alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from calibration.page_layers import whole
from calibration.page_markup import (
    KINDS,
    folded,
    key,
    kind_of,
    mebibytes,
    nats,
    paragraph,
    plural,
    section,
    table,
)
from calibration.page_plot import Bar, bars

FIRST = 24  # of the ranking; the rest when asked


def budget_section(report: Mapping[str, Any]) -> str:
    if "budget" not in report:
        return ""
    budget = report["budget"]
    return section(
        "The budget", table(("budget", "wanted", "reached"), budget_rows(budget)), steps_text(budget)
    )


def budget_rows(budget: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    wanted, measured = budget["asked"], budget["measured"] or {}
    rows = list[tuple[str, str, str]]()
    if "kl" in wanted:
        rows.append(("KL from the float model", f"at most {nats(wanted['kl'])}", nats(measured["kl"])))
    if "accuracy" in wanted:
        lost, least = measured["lost_points"], f"at most {wanted['accuracy']:g} points"
        rows.append(("accuracy lost", least, f"{lost:.2f} points"))
    if "mib" in wanted:
        reached = budget.get("bytes_at_most")
        said = "kept" if reached is None else f"at most {mebibytes(reached)}"
        rows.append(("whole bundle", f"at most {wanted['mib']:g} MiB", said))
    return rows


def steps_text(budget: Mapping[str, Any]) -> str:
    lifts, tries = budget["layers_lifted"], budget.get("tries")
    steps = f"It took {plural(lifts, 'step')} of single layers towards float, the most worthwhile first."
    said = [steps if lifts else "No layer had to be finer than was asked."]
    said += [f"Whole bundles measured on the way: {tries}."] if tries else []
    return paragraph(" ".join(said))


def ranking_section(report: Mapping[str, Any]) -> str:
    found = ranked_bars(report)
    if not found:
        return ""
    text = (
        "KL from the float model when this layer alone is quantised as asked; the colour is what it became."
    )
    longest = max(bar.length for bar in found)
    first = bars(found[:FIRST], "the most harmful layers", longest)
    others = bars(found[FIRST:], "the other layers", longest)
    rest = folded(f"the other {len(found) - FIRST} of {len(found)} layers", others)
    return section("Layers by the harm they do alone", paragraph(text), key(KINDS), first, rest)


def ranked_layers(report: Mapping[str, Any]) -> list[tuple[str, str, float | None]]:
    """Role, layer and harm, the most harmful first; none where nobody asked for it."""
    ranked = report.get("sensitivity", {})
    harms = [(role, layer, harm) for role, layers in ranked.items() for layer, harm in layers.items()]
    return sorted(harms, key=lambda each: -math.inf if each[2] is None else -each[2])


def ranked_bars(report: Mapping[str, Any]) -> list[Bar]:
    """Of all roles, the most harmful first; a layer that breaks the model has the longest bar."""
    harms = ranked_layers(report)
    worst = max((harm for _, _, harm in harms if harm is not None), default=0.0) or 1.0
    became = {
        (role, whole(layer["layer"])): kind_of(layer["as"])
        for role, layers in report["roles"].items()
        for layer in layers
    }
    return [
        Bar(f"{role} {layer}", ((became[role, layer], worst if harm is None else harm),), nats(harm))
        for role, layer, harm in harms
    ]
