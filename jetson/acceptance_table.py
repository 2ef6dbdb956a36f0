"""An acceptance for people: a line a step, and what it found in a few words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from edge_runtime.errors import one_line
from jetson.acceptance_report import Outcome, Report

HEAD = ("step", "result", "seconds", "found")


def table_from_report(report: Report) -> str:
    rows = [HEAD, *(row_of(each) for each in report.outcomes)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    return "\n".join((*lines, f"verdict: {report.verdict}", ""))


def row_of(outcome: Outcome) -> tuple[str, ...]:
    seconds = "" if outcome.seconds is None else f"{outcome.seconds:.1f}"
    return (outcome.name, outcome.status, seconds, one_line(outcome.reason or found_by(outcome)))


def found_by(outcome: Outcome) -> str:
    tell = FINDINGS.get(outcome.name)
    return "" if tell is None else ", ".join(tell(outcome))


def machine_found(outcome: Outcome) -> Iterator[str]:
    yield str(outcome.field("model") or outcome.field("machine", "cpu"))
    yield str(outcome.field("gpu", "name") or "no GPU")
    yield from figures(outcome, ("{:.0f} MiB", "machine", "memory_mib"), ("CMA {:.0f} MiB", "cma_mib"))


def verify_found(outcome: Outcome) -> Iterator[str]:
    yield from figures(outcome, ("{:.0f} files", "files"))


def build_found(outcome: Outcome) -> Iterator[str]:
    engines = outcome.field("engines")
    made = [each for each in engines if isinstance(each, dict)] if isinstance(engines, list) else []
    yield f"{len(made)} engine{'' if len(made) == 1 else 's'} of {outcome.field('place', 'engine')} {outcome.field('place', 'version')}"
    if sizes := [size for each in made if isinstance(size := each.get("bytes"), int)]:
        yield f"{sum(sizes) >> 20} MiB"
    if tried := outcome.field("trial", "words") or outcome.field("trial", "untried"):
        yield str(tried)


def answer_found(outcome: Outcome) -> Iterator[str]:
    yield str(outcome.field("engine"))
    yield from figures(
        outcome, ("{:.0f} tokens", "usage", "completion_tokens"), ("{:.1f} tokens/s", "tokens_per_s")
    )


def agreement_found(outcome: Outcome) -> Iterator[str]:
    yield f"{outcome.field('agreed')} tokens agree, of {outcome.field('tokens')}"


def bench_found(outcome: Outcome) -> Iterator[str]:
    yield str(outcome.field("engine"))
    yield from figures(
        outcome,
        ("first token {:.0f} ms", "answer", "first_token_ms", "median"),
        ("{:.1f} tokens/s", "answer", "decode_tokens_per_s", "median"),
        ("{:.0f} MiB held", "memory", "peak", "held_mib"),
    )


def figures(outcome: Outcome, *wanted: tuple[str, ...]) -> Iterable[str]:
    """Words with a figure, and where it is in the answer; one that is not there is not told."""
    for words, *path in wanted:
        found = outcome.field(*path)
        if isinstance(found, (int, float)):
            yield words.format(found)


FINDINGS: dict[str, Callable[[Outcome], Iterator[str]]] = {
    "machine": machine_found,
    "verify": verify_found,
    "dry-run": build_found,
    "build": build_found,
    "answer": answer_found,
    "answer-onnxruntime": answer_found,
    "agreement": agreement_found,
    "bench": bench_found,
    "bench-onnxruntime": bench_found,
}
