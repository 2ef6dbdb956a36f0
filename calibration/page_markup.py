"""Pieces of HTML: text that stays text, tables, and lists that fold away."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

MIB = 1 << 20
KINDS = ("int4", "int8", "float")  # as in "int4/128"; also the names of their colours in the page's style


def escaped(text: object) -> str:
    return html.escape(str(text).encode("utf-8", "replace").decode())


def section(heading: str, *parts: str) -> str:
    """Nothing at all where there is nothing below the heading."""
    body = "".join(parts)
    return f"<section><h2>{escaped(heading)}</h2>{body}</section>" if body else ""


def paragraph(text: str) -> str:
    return f"<p>{escaped(text)}</p>"


def table(head: Sequence[str], rows: Iterable[Sequence[object]], texts: int = 1) -> str:
    """The first `texts` columns are text, the others are numbers. Empty where there are no rows."""

    def line(cells: Sequence[object], tag: str) -> str:
        kinds = [*([""] * texts), *([' class="number"'] * (len(cells) - texts))]
        made = [f"<{tag}{kind}>{escaped(cell)}</{tag}>" for kind, cell in zip(kinds, cells, strict=True)]
        return f"<tr>{''.join(made)}</tr>"

    lines = "".join(line(row, "td") for row in rows)
    return f'<div class="wide"><table>{line(head, "th")}{lines}</table></div>' if lines else ""


def folded(summary: str, body: str) -> str:
    """Shown when it is asked for."""
    return f"<details><summary>{escaped(summary)}</summary>{body}</details>" if body else ""


def listed(names: Iterable[object], left_out: int = 0) -> str:
    """Empty where there is nothing to list. `left_out` is how many more there were."""
    items = "".join(f"<li>{escaped(each)}</li>" for each in names)
    return (f"<ul>{items}</ul>" if items else "") + left_out_text(left_out)


def left_out_text(count: int) -> str:
    return paragraph(f"{count} more, left out to keep the report small.") if count else ""


def key(names: Sequence[str]) -> str:
    """What the colours mean; each is called as its class is."""
    spots = "".join(
        f'<span><svg width="11" height="11"><rect class="{name}" width="11" height="11"/></svg> {name}</span>'
        for name in names
    )
    return f'<p class="key">{spots}</p>'


def kind_of(layer_as: str) -> str:
    return next(kind for kind in KINDS if layer_as.startswith(kind))


def mebibytes(count: int) -> str:
    """Two digits at least, so that small models show what they save too."""
    size = count / MIB
    return f"{size:.1f} MiB" if size >= 10 else f"{size:.2f} MiB"


def nats(value: float | None) -> str:
    """None is what no finite number was."""
    return "breaks answers" if value is None else f"{value:.2e} nats"


def plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
