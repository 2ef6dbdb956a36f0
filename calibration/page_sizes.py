"""What the page says about bytes: of layers by role and precision, of the table, and of the cache."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from calibration.page_markup import KINDS, key, kind_of, mebibytes, nats, paragraph, section, table
from calibration.page_plot import Bar, bars

Layers = Sequence[Mapping[str, Any]]


def sizes_section(report: Mapping[str, Any]) -> str:
    roles: Mapping[str, Layers] = report["roles"]
    return section(
        "What every role became",
        *((key(KINDS), roles_plot(roles), roles_table(roles)) if any(roles.values()) else ()),
        migrated_text(roles),
        table_text(report["recipe"], report.get("table")),
    )


def roles_plot(roles: Mapping[str, Layers]) -> str:
    """Two bars a role: what its layers took, and what they take."""
    found = list[Bar]()
    for role, layers in roles.items():
        before = sum(layer["bytes_before"] for layer in layers)
        parts = [(kind, sum(each["bytes"] for each in of_kind(layers, kind))) for kind in KINDS]
        after = sum(size for _, size in parts)
        found.append(Bar(role, (("float", before),), mebibytes(before)))
        found.append(Bar("now", tuple(part for part in parts if part[1]), mebibytes(after)))
    return bars(found, "bytes of each role's layers before and after")


def of_kind(layers: Layers, kind: str) -> Layers:
    return [each for each in layers if kind_of(each["as"]) == kind]


def roles_table(roles: Mapping[str, Layers]) -> str:
    rows = []
    for role, layers in roles.items():
        for kind in dict.fromkeys(layer["as"] for layer in layers):
            those = [layer for layer in layers if layer["as"] == kind]
            sizes = (sum(layer[name] for layer in those) for name in ("bytes_before", "bytes"))
            rows.append((role, kind, len(those), *(mebibytes(size) for size in sizes)))
    return table(("role", "as", "layers", "before", "after"), rows, texts=2)


def migrated_text(roles: Mapping[str, Layers]) -> str:
    counts = {role: sum(layer.get("migrated", False) for layer in layers) for role, layers in roles.items()}
    said = ", ".join(f"{count} of {role}" for role, count in counts.items() if count)
    if not said:
        return ""
    return paragraph(f"Layers whose weights took over part of their inputs' scale: {said}.")


def table_text(recipe: Mapping[str, Any], sizes: Mapping[str, Any] | None) -> str:
    """`sizes` is of reports that tell them."""
    kind = recipe["embedding"] if recipe["embedding"] == "int8" else "float, as it was"
    if sizes is None:
        return paragraph(f"The table of tokens is {kind}.")
    before, after = mebibytes(sizes["bytes_before"]), mebibytes(sizes["bytes"])
    return paragraph(f"The table of tokens is {kind}: {before} → {after}.")


def cache_section(report: Mapping[str, Any]) -> str:
    if "cache" not in report:
        return ""
    cache = report["cache"]
    before, after = cache["bytes_a_token_before"], cache["bytes_a_token"]
    found = (
        Bar("before", (("float", before),), f"{before:,} B"),
        Bar("now", (("int8", after),), f"{after:,} B"),
    )
    return section(
        "The cache of keys and values in 8 bits",
        bars(found, "bytes a token takes in the cache"),
        paragraph(
            f"A token takes {before:,} → {after:,} bytes in the cache, {1 - after / before:.0%} less. "
            f"That alone costs {cost(cache['alone'])}; only {', '.join(cache['dialects'])} graphs carry it."
        ),
    )


def cost(alone: float | None) -> str:
    return "every answer: none was a finite number" if alone is None else f"{nats(alone)} a token (KL)"
