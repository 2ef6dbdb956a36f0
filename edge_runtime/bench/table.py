"""The README's table, made of nothing but committed reports."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from edge_runtime.bench.report import ContextTimes, Report, report_from_file
from edge_runtime.errors import EdgeVLError

BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"
NONE = "–"


def reports_from_folder(folder: Path) -> dict[str, Report]:
    """By file name, in its order; a file that is no report is an EdgeVLError."""
    return {path.name: report_from_file(path) for path in sorted(folder.glob("*.json"))}


def table_from_reports(reports: Mapping[str, Report], folder: str) -> str:
    """Markdown; `folder` is where the README finds the files."""
    if not reports:
        return ""
    parts = [answers_table(reports.values()), contexts_table(reports.values()), origins(reports, folder)]
    return "\n\n".join(part for part in parts if part)


def text_with_table(text: str, table: str) -> str:
    """`text` with `table` between its markers, in place of what was there."""
    before, found, rest = text.partition(BEGIN)
    inside, ended, after = rest.partition(END)
    if not found or not ended or BEGIN in inside + after or END in after:
        what, why = "the text has no place for the table", f"it needs one {BEGIN} and one {END} after it"
        raise EdgeVLError("EVL-BENCH-MARKERS", what, why, "put both markers where the table belongs")
    return f"{before}{BEGIN}\n{table}\n{END}{after}" if table else f"{before}{BEGIN}\n{END}{after}"


def answers_table(reports: Iterable[Report]) -> str:
    head = (
        "bundle", "precision", "load s", "first token s", "vision s", "prefill s (tokens)",
        "decode tokens/s", "GB/s (of the machine's)", "memory held MiB", "peak RSS MiB",
    )  # fmt: skip
    return markdown(head, [answer_row(report) for report in reports])


def answer_row(report: Report) -> tuple[str, ...]:
    answer, stages = report.answer, report.answer.stages
    high_ms = stages.vision_high_ms.median if stages.vision_high_ms else 0.0
    return (
        report.bundle,
        precision_words(report.precision),
        seconds(report.load.total_ms.median),
        seconds(answer.first_token_ms.median),
        seconds(high_ms + stages.vision_low_ms.median + stages.adaptor_ms.median),
        f"{seconds(stages.prefill_ms.median)} ({answer.prompt_tokens})",
        figure(answer.decode_tokens_per_s.median),
        f"{figure(answer.stream.gb_per_s)} ({answer.stream.fraction:.0%})" if answer.stream else NONE,
        f"{report.memory.peak.held_mib:.0f}",
        f"{report.memory.peak.resident_mib:.0f}",
    )


def contexts_table(reports: Iterable[Report]) -> str:
    """Rows are contexts, columns are bundles: prefill in seconds, then decode tokens per second."""
    found = list(reports)
    every = sorted({each.context for report in found for each in report.contexts})
    if not every:
        return ""
    names = [f"{report.bundle}, {precision_words(report.precision)}" for report in found]
    head = ("context", *(f"{name}: prefill s · decode tokens/s" for name in names))
    rows = [(str(context), *(context_cell(report, context) for report in found)) for context in every]
    return markdown(head, rows)


def context_cell(report: Report, context: int) -> str:
    measured = [each for each in report.contexts if each.context == context]
    return context_words(measured[0]) if measured else NONE


def context_words(times: ContextTimes) -> str:
    return f"{seconds(times.prefill_ms.median)} · {figure(times.decode_tokens_per_s.median)}"


def origins(reports: Mapping[str, Report], folder: str) -> str:
    return "\n".join(f"- [{name}]({folder}/{name}): {origin(report)}" for name, report in reports.items())


def origin(report: Report) -> str:
    """Where, when and how a report was taken."""
    machine, versions = report.machine, report.versions
    return (
        f"`{report.command}`, {report.date}, {machine.cpu} ({machine.cores} cores, {machine.memory_mib} MiB, "
        f"{machine.system}; reads {figure(report.bandwidth_gb_per_s.high)} GB/s; load average "
        f"{report.load_average:.1f} before), edge-vl {versions.edge_vl}, "
        f"Python {versions.python}, numpy {versions.numpy}, ONNX Runtime {versions.onnxruntime or NONE}; "
        f"medians of {report.answer.first_token_ms.runs}"
    )


def precision_words(precision: Mapping[str, str]) -> str:
    """One word where all graphs agree; the embedding is a table, not a graph."""
    graphs = {role: each for role, each in precision.items() if role != "embed"}
    if len(set(graphs.values())) == 1:
        return next(iter(graphs.values()))
    return ", ".join(f"{role} {each}" for role, each in sorted(graphs.items()))


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    rule = ["---", *("---:" for _ in head[1:])]
    lines = [head, rule, *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)


def seconds(milliseconds: float) -> str:
    return figure(milliseconds / 1000)


def figure(value: float) -> str:
    """Three digits that mean something, however large the figure is."""
    digits = 0 if value >= 100 else 1 if value >= 10 else 2 if value >= 1 else 3
    return f"{value:.{digits}f}"


def main(readme: Path, folder: Path) -> None:
    """Writes the table into the README; `python -m edge_runtime.bench.table README.md docs/bench`."""
    table = table_from_reports(reports_from_folder(folder), folder.as_posix())
    readme.write_text(text_with_table(readme.read_text(encoding="utf-8"), table), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
