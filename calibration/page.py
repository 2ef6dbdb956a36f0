"""`quality.html`: what `quality.json` holds, to look at. One file, no scripts, nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from typing import Any

from calibration.answers import COMPARED
from calibration.page_answers import answers_section
from calibration.page_budget import budget_section, ranking_section
from calibration.page_exam import difference, exam_section
from calibration.page_layers import finer_section, sqnr_section
from calibration.page_markup import (
    MIB,
    escaped,
    folded,
    listed,
    mebibytes,
    nats,
    paragraph,
    plural,
    section,
    table,
)
from calibration.page_sizes import cache_section, sizes_section
from calibration.recipe import Recipe

STYLE = """
:root { color-scheme: light dark; --int4: #c2571a; --int8: #1a6fc2; --float: #8a8a8a; --faint: #0002; }
@media (prefers-color-scheme: dark) {
  :root { --int4: #f0904f; --int8: #5aa5ee; --float: #8f8f8f; --faint: #fff3; }
}
body { font: 15px/1.5 system-ui, sans-serif; max-width: 48rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin: 2.4rem 0 .4rem; } h3 { font-size: 1rem; margin-bottom: .2rem; }
p { margin: .4rem 0; overflow-wrap: anywhere; } li { overflow-wrap: anywhere; }
.wide { overflow-x: auto; margin: .6rem 0; } table { border-collapse: collapse; font-size: 14px; }
th, td { text-align: left; padding: .2rem .9rem .2rem 0; vertical-align: top; border-bottom: 1px solid var(--faint); }
td { overflow-wrap: break-word; max-width: 24rem; } th { font-weight: 600; }
.number { text-align: right; font-variant-numeric: tabular-nums; } td.number { white-space: nowrap; }
.plot { display: block; width: 100%; margin: .5rem 0; }
svg text { font: 11px system-ui, sans-serif; fill: currentColor; } svg line { stroke: var(--faint); }
.end { text-anchor: end; } .middle { text-anchor: middle; }
.int4 { fill: var(--int4); } .int8, .agreed { fill: var(--int8); } .float { fill: var(--float); }
.parted { fill: var(--faint); }
.big { display: grid; grid-template-columns: repeat(auto-fit, minmax(10rem, 1fr)); gap: 1rem 1.5rem; font-size: 13px; }
.big b { display: block; font-size: 1.15rem; }
.key { font-size: 13px; } .key span { margin-right: 1.2em; }
@media (max-width: 32rem) {
  table { font-size: 13px; } th, td { padding-right: .55rem; } svg .end { font-size: 10px; }
}
details { margin: .6rem 0; } summary { cursor: pointer; }
"""


def page_from_quality(report: Mapping[str, Any], title: str) -> str:
    """The whole page. Every text that came from a file name or a prompt is escaped; what the report lacks is left out."""
    parts = (
        f"<h1>{escaped(title)}</h1>",
        headline(report),
        exam_section(report),
        answers_section(report),
        sizes_section(report),
        cache_section(report),
        budget_section(report),
        finer_section(report),
        ranking_section(report),
        sqnr_section(report["roles"]),
        origin_section(report),
    )
    return f'<!doctype html><html lang="en"><head>{head(title)}</head><body>{"".join(parts)}</body></html>\n'


def head(title: str) -> str:
    """The page forbids its reader's browser everything but its own style."""
    allowed = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{allowed}'; base-uri 'none'; form-action 'none'"
    return (
        f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escaped(title)}</title><style>{STYLE}</style>"
    )


def headline(report: Mapping[str, Any]) -> str:
    layers = [layer for every in report["roles"].values() for layer in every]
    before, after = (sum(layer[name] for layer in layers) for name in ("bytes_before", "bytes"))
    figures = [("layers that can be quantised", f"{before / MIB:.1f} → {mebibytes(after)}")]
    if "accuracy" in report:
        exam = report["accuracy"]
        figures.append(
            (f"right answers: {exam['before']:.1%} → {exam['after']:.1%}", difference(-exam["lost_points"]))
        )
    if report["agreement"] is not None:
        agreement = report["agreement"]
        figures += [
            ("a token between the two models' words (KL)", nats(agreement["logit_kl"])),
            ("of tokens are the likeliest in both models", f"{agreement['top1']:.1%}"),
            ("of greedy tokens until the models part", f"{agreement['greedy']:.1%}"),
        ]
    cells = "".join(f"<div><b>{escaped(value)}</b>{escaped(label)}</div>" for label, value in figures)
    return f'<div class="big">{cells}</div>'


def origin_section(report: Mapping[str, Any]) -> str:
    """What was asked for, and with what it was measured."""
    samples = report["samples"]
    left_out = samples.get("left_out", {})
    broken = listed(samples["broken"], left_out.get("broken", 0))
    return section(
        "How it was made",
        table(("asked for", ""), report["recipe"].items(), texts=2),
        paragraph(f"{samples_words(report) or 'made without samples'}.".capitalize()),
        folded("their names", listed(samples["names"], left_out.get("names", 0))),
        paragraph("Samples left out:") + broken if broken else "",
    )


def samples_words(report: Mapping[str, Any]) -> str:
    """As in "calibrated with 3 samples"; empty where there were none. Weights that are rounded alone need none to measure."""
    count = report["samples"]["count"]
    if Recipe(**report["recipe"]).needs_samples or "budget" in report:
        return f"calibrated with {plural(count, 'sample')}"
    return f"compared on {plural(min(count, COMPARED), 'sample')}" if count else ""
