"""What the page says about single layers: what rounding cost them, and which are finer than was asked, and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from calibration.page_markup import (
    KINDS,
    escaped,
    folded,
    key,
    kind_of,
    nats,
    paragraph,
    plural,
    section,
    table,
)
from calibration.page_plot import Bar, bars
from calibration.recipe import HEAD, VISION

MOST, WORST = 40, 12  # layers whose bars are all shown at once; else the worst are, and all when asked
FIRST = 24  # layers finer than was asked; the rest when asked
NO_COST = "nothing was lost"
PRODUCTS = "Of 8-bit products this is what their weights lost; what is lost of their inputs comes on top."

Layers = Sequence[Mapping[str, Any]]


def sqnr_section(roles: Mapping[str, Layers]) -> str:
    plots = "".join(role_plot(role, layers) for role, layers in roles.items())
    if not plots:
        return ""
    text = "Power of the weights over the power of what rounding lost, in decibels. Longer is better."
    kinds = {layer["as"] for layers in roles.values() for layer in layers}
    more = paragraph(PRODUCTS) if "int8 products" in kinds else ""
    return section("What rounding cost each layer", paragraph(text), key(KINDS), more, plots)


def role_plot(role: str, layers: Layers) -> str:
    """In the order of the graph; of a long role the worst are shown first."""
    longest = max((layer.get("sqnr_db", 0.0) for layer in layers), default=0.0)
    every = bars([sqnr_bar(layer) for layer in layers], f"SQNR of {role}'s layers", longest)
    rounded = [layer for layer in layers if "sqnr_db" in layer]
    if not layers:
        return ""
    if len(layers) <= MOST:
        return f"<h3>{escaped(role)}</h3>{every}"
    worst = sorted(rounded, key=lambda layer: float(layer["sqnr_db"]))[:WORST]
    first = bars([sqnr_bar(layer) for layer in worst], f"the worst of {role}'s layers", longest)
    text = paragraph(f"The {len(worst)} lowest of {len(layers)}.") if worst else ""
    return f"<h3>{escaped(role)}</h3>{text}{first}{folded(f'all {len(layers)}, in the order of the graph', every)}"


def sqnr_bar(layer: Mapping[str, Any]) -> Bar:
    ratio, kind = layer.get("sqnr_db"), kind_of(layer["as"])
    said = f"{ratio:.1f} dB" if ratio is not None else ("float" if kind == "float" else NO_COST)
    return Bar(layer["layer"], ((kind, max(ratio or 0.0, 0.0)),), said)


def finer_section(report: Mapping[str, Any]) -> str:
    """Layers that are nearer to float than the recipe asks, and why."""
    alone = report.get("sensitivity", {})
    rows = [
        (f"{role} {layer['layer']}", f"{was} → {layer['as']}", reason(layer, alone.get(role, {})))
        for role, layer, was in finer_layers(report["recipe"], report["roles"])
    ]
    told = [f"Not alike in all dialects: {each}." for each in report.get("differing", [])]
    if rows:
        told.insert(0, f"{plural(len(rows), 'layer')} nearer to float than the recipe asks.")
    text = "".join(map(paragraph, told))
    head = ("layer", "asked → became", "why")
    first, rest = (table(head, some, texts=3) for some in (rows[:FIRST], rows[FIRST:]))
    return section(
        "Finer than was asked, and why", text, first, folded(f"the other {len(rows) - FIRST}", rest)
    )


def finer_layers(
    recipe: Mapping[str, Any], roles: Mapping[str, Layers]
) -> Iterator[tuple[str, Mapping[str, Any], str]]:
    for role, layers in roles.items():
        for layer in layers:
            was = asked(recipe, role, layer["layer"])
            if was in KINDS and KINDS.index(kind_of(layer["as"])) > KINDS.index(was):
                yield role, layer, was


def asked(recipe: Mapping[str, Any], role: str, layer: str) -> str:
    """One of the kinds, or what a role that is left alone has."""
    if role in VISION:
        return str(recipe["vision"])
    choice = str(recipe["head" if whole(layer) == HEAD else "decoder"])
    return "int8" if choice == "w8a8" else choice


def whole(layer: str) -> str:
    """A head that is split is one layer: `head_0` is part of `head`."""
    return HEAD if layer.startswith(f"{HEAD}_") else layer


def reason(layer: Mapping[str, Any], alone: Mapping[str, float | None]) -> str:
    name = whole(layer["layer"])
    if "why" in layer:
        return str(layer["why"])
    return f"as asked it alone costs {nats(alone[name])}" if name in alone else "a budget asked for it"
