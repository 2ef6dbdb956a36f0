"""`quality.html`: what `quality.json` holds, to look at. One file, no scripts, nothing from elsewhere."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

WIDTH, ROW, LEFT, RIGHT = 760, 14, 170, 60  # of the plots, in pixels
COLOURS = {"int4": "#c2571a", "int8": "#1a6fc2", "float": "#999999"}
STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
table { border-collapse: collapse; } th, td { text-align: left; padding: .2rem .9rem .2rem 0; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
svg text { font: 10px system-ui, sans-serif; fill: currentColor; }
.big { display: flex; gap: 2.5rem; flex-wrap: wrap; } .big b { display: block; font-size: 1.6rem; }
.key span { display: inline-block; width: .8em; height: .8em; margin: 0 .3em 0 1em; }
"""


def page_from_quality(report: Mapping[str, Any], title: str) -> str:
    """The whole page. Every text that came from a file name or a prompt is escaped."""
    parts = [
        f"<h1>{escaped(title)}</h1>",
        headline(report),
        "<h2>What every role became</h2>",
        roles_table(report["roles"]),
        "<h2>What rounding cost each layer</h2>",
        "<p>Power of the weights over the power of what rounding lost, in decibels. Longer is better.</p>",
        key(),
        *(f"<h3>{escaped(role)}</h3>{layers_plot(layers)}" for role, layers in report["roles"].items()),
        "<h2>The same answers?</h2>",
        answers_table(report["answers"]),
        samples_list(report["samples"]),
    ]
    head = f'<meta charset="utf-8"><title>{escaped(title)}</title><style>{STYLE}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(parts)}</body></html>\n'


def escaped(text: object) -> str:
    return html.escape(str(text).encode("utf-8", "replace").decode())


def headline(report: Mapping[str, Any]) -> str:
    layers = [layer for every in report["roles"].values() for layer in every]
    before, after = (sum(layer[name] for layer in layers) for name in ("bytes_before", "bytes"))
    figures = [("layers that can be quantised", f"{mebibytes(before)} → {mebibytes(after)}")]
    if report["agreement"] is not None:
        agreement = report["agreement"]
        figures += [
            ("of tokens are the likeliest in both models", f"{agreement['top1']:.1%}"),
            ("nats between the two models' words (KL)", f"{agreement['logit_kl']:.2e}"),
            ("of greedy tokens until the models part", f"{agreement['greedy']:.1%}"),
        ]
    cells = "".join(f"<div><b>{escaped(value)}</b>{escaped(label)}</div>" for label, value in figures)
    return f'<div class="big">{cells}</div>'


def mebibytes(count: int) -> str:
    return f"{count / (1 << 20):.1f} MiB"


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """The first column is text, the others are numbers."""

    def line(cells: Sequence[object], tag: str) -> str:
        kinds = ["", *([' class="number"'] * (len(cells) - 1))]
        made = [f"<{tag}{kind}>{escaped(cell)}</{tag}>" for kind, cell in zip(kinds, cells, strict=True)]
        return f"<tr>{''.join(made)}</tr>"

    return f"<table>{line(head, 'th')}{''.join(line(row, 'td') for row in rows)}</table>"


def roles_table(roles: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    rows = []
    for role, layers in roles.items():
        for kind in dict.fromkeys(layer["as"] for layer in layers):
            those = [layer for layer in layers if layer["as"] == kind]
            sizes = (sum(layer[name] for layer in those) for name in ("bytes_before", "bytes"))
            rows.append((role, kind, len(those), *(mebibytes(size) for size in sizes)))
    return table(("role", "as", "layers", "before", "after"), rows)


def key() -> str:
    spots = [f'<span style="background:{colour}"></span>{name}' for name, colour in COLOURS.items()]
    return f'<p class="key">{"".join(spots)}</p>'


def layers_plot(layers: Sequence[Mapping[str, Any]]) -> str:
    """One bar a layer, in the order of the graph."""
    longest = max((layer.get("sqnr_db", 0.0) for layer in layers), default=0.0) or 1.0
    scale, bars = (WIDTH - LEFT - RIGHT) / longest, []
    for number, layer in enumerate(layers):
        top, ratio = number * ROW, layer.get("sqnr_db")
        colour = COLOURS[next(kind for kind in COLOURS if layer["as"].startswith(kind))]
        said = f"{ratio:.1f} dB" if ratio is not None else layer.get("why", "nothing lost")
        length = max(ratio or 0.0, 0.0) * scale
        bars.append(
            f'<text x="{LEFT - 6}" y="{top + 10}" text-anchor="end">{escaped(layer["layer"])}</text>'
            f'<rect x="{LEFT}" y="{top + 2}" width="{length:.1f}" height="{ROW - 4}" fill="{colour}"/>'
            f'<text x="{LEFT + length + 4:.1f}" y="{top + 10}">{escaped(said)}</text>'
        )
    height = max(1, len(layers)) * ROW
    return f'<svg viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img">{"".join(bars)}</svg>'


def answers_table(answers: Sequence[Mapping[str, Any]]) -> str:
    if not answers:
        return "<p>No samples were given, so the two models were not compared.</p>"
    rows = [
        (each["sample"], each["tokens"], each["agreed"], f"{each['top1']:.1%}", f"{each['kl']:.2e}")
        for each in answers
    ]
    return table(("sample", "tokens", "until they part", "likeliest in both", "KL"), rows)


def samples_list(samples: Mapping[str, Any]) -> str:
    if not samples["broken"]:
        return f"<p>Calibrated with {samples['count']} samples.</p>"
    broken = "".join(f"<li>{escaped(each)}</li>" for each in samples["broken"])
    return f"<p>Calibrated with {samples['count']} samples. Left out:</p><ul>{broken}</ul>"
