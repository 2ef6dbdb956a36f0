"""`edge-vl bench`."""

from __future__ import annotations

import shlex
from argparse import Namespace
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from edge_runtime.bench.gates import Gates
from edge_runtime.bench.measure import report_from_options
from edge_runtime.bench.options import CONTEXTS, MAX_TOKENS, PROMPT, RUNS, BenchOptions
from edge_runtime.bench.report import AnswerTimes, ContextTimes, Report
from edge_runtime.bench.sample import sample_jpeg
from edge_runtime.bench.spread import Spread
from edge_runtime.bench.table import figure, precision_words
from edge_runtime.errors import EdgeVLError, one_line
from edge_runtime.publish import staged_file_if_wanted
from edge_runtime.record import bytes_from_json
from edge_vl.verbs.folders import refuse_checkpoint

if TYPE_CHECKING:
    from edge_vl.terminal import Terminal

Row = Sequence[str]
FAILED = 1
GIVEN = ("prompt", "runs", "max_tokens", "contexts", *vars(Gates()))


def run(arguments: Namespace, terminal: Terminal) -> int:
    contexts = contexts_from_text(arguments.contexts)
    options = BenchOptions(
        bundle=arguments.bundle,
        pictures=tuple(arguments.image) or (sample_jpeg(),),
        prompt=PROMPT if arguments.prompt is None else arguments.prompt,
        runs=RUNS if arguments.runs is None else arguments.runs,
        max_tokens=MAX_TOKENS if arguments.max_tokens is None else arguments.max_tokens,
        contexts=contexts,
        engine=arguments.engine,
        is_trusted=arguments.trust_bundle,
        engines=arguments.engines,
        gates=Gates(arguments.min_tokens_per_s, arguments.max_first_token_ms, arguments.max_held_mib),
    )
    refuse_checkpoint(arguments.bundle)
    with staged_file_if_wanted(arguments.out) as out:
        today = datetime.now(timezone.utc).date().isoformat()
        report = report_from_options(options, command_from_arguments(arguments), today, terminal.progress)
        if out is not None:
            out.write_bytes(bytes_from_json(report.to_json()))
    if not arguments.json:
        show(report, terminal)
    terminal.json(report.to_json())
    return 0 if all(gate.is_passed for gate in report.gates) else FAILED


def contexts_from_text(text: str | None) -> tuple[int, ...]:
    """Rising, each once."""
    if text is None:
        return CONTEXTS
    try:
        return tuple(sorted({int(word) for word in text.split(",")}))
    except ValueError:
        why = f"{text!r} is not a list of whole numbers"
        fix = "write it as 128,512,1024"
        raise EdgeVLError("EVL-USAGE", "--contexts is not understood", why, fix) from None


def command_from_arguments(arguments: Namespace) -> str:
    """As it was meant, with names in place of paths: reports are published, folders of a machine are not."""
    words = ["edge-vl", "bench", arguments.bundle.resolve().name]
    for path in arguments.image:
        words += ["--image", path.name]
    given = {name: getattr(arguments, name) for name in GIVEN}
    for name, value in given.items():
        if value is not None:
            words += [f"--{name.replace('_', '-')}", str(value)]
    if arguments.engine != "auto":
        words += ["--engine", arguments.engine]
    if arguments.engines is not None:
        words += ["--engines", arguments.engines.resolve().name]
    return one_line(shlex.join([*words, *(["--trust-bundle"] if arguments.trust_bundle else [])]))


def show(report: Report, terminal: Terminal) -> None:
    machine = report.machine
    terminal.line(f"bundle    {report.bundle}, {precision_words(report.precision)}, on {report.engine}")
    terminal.line(
        f"machine   {machine.cpu}, {machine.cores} cores, {machine.memory_mib} MiB, "
        f"reads {figure(report.bandwidth_gb_per_s.high)} GB/s, load average {report.load_average:.1f} before"
    )
    terminal.line()
    terminal.table([("", "median ms", "min", "max"), *load_rows(report), *answer_rows(report)])
    terminal.line()
    terminal.table([CONTEXT_HEAD, answer_speed(report), *map(context_row, report.contexts)])
    for context in report.skipped_contexts:
        terminal.line(f"{context:<8}  skipped: this bundle holds {report.shape.max_context} tokens")
    terminal.line()
    show_memory(report, terminal)
    if (energy := report.energy) is not None:
        joules, watts = figure(energy.answer_j.median), figure(energy.watts.median)
        terminal.line(f"energy    {joules} J an answer, {watts} W meanwhile: {energy.meter}")
    for gate in report.gates:
        terminal.line(f"gate      {gate.words}")


def load_rows(report: Report) -> list[Row]:
    load = report.load
    hashing = load.hashing_ms
    return [
        ("load: hashing", *(spread_cells(hashing) if hashing else ("skipped", "", ""))),
        spread_row("load: structure", load.structure_ms),
        spread_row("load: tokenizer", load.tokenizer_ms),
        spread_row("load: sessions", load.sessions_ms),
        spread_row("load", load.total_ms),
        ("importing ONNX Runtime, once", "–" if load.library_ms is None else figure(load.library_ms), "", ""),
    ]


def answer_rows(report: Report) -> list[Row]:
    answer, stages = report.answer, report.answer.stages
    high = [spread_row("vision_high", stages.vision_high_ms)] if stages.vision_high_ms else []
    return [
        spread_row(f"decode image ({', '.join(answer.pictures)})", stages.decode_image_ms),
        spread_row("preprocess", stages.preprocess_ms),
        *high,
        spread_row("vision_low", stages.vision_low_ms),
        spread_row("adaptor", stages.adaptor_ms),
        spread_row("tokenize", stages.tokenize_ms),
        spread_row(f"prefill ({answer.prompt_tokens} tokens)", stages.prefill_ms),
        spread_row("choose the first token", stages.sample_ms),
        spread_row("everything else", stages.other_ms),
        spread_row("first token", answer.first_token_ms),
        ("first token of the first answer", figure(answer.cold_first_token_ms), "", ""),
    ]


CONTEXT_HEAD = (
    "context", "prefill ms", "prefill tokens/s", "decode tokens/s", "min", "max", "MiB/token", "GB/s", "of bandwidth",
)  # fmt: skip


def answer_speed(report: Report) -> Row:
    answer, prefill = report.answer, report.answer.stages.prefill_ms.median
    return (
        "answer",
        figure(prefill),
        figure(1000 * answer.prompt_tokens / prefill),
        *speed_cells(answer),
    )


def context_row(times: ContextTimes) -> Row:
    return (
        str(times.context),
        figure(times.prefill_ms.median),
        figure(times.prefill_tokens_per_s),
        *speed_cells(times),
    )


def speed_cells(times: AnswerTimes | ContextTimes) -> Row:
    speed, stream = spread_cells(times.decode_tokens_per_s), times.stream
    if stream is None:
        return (*speed, "–", "–", "–")
    return (
        *speed,
        figure(stream.bytes_per_token / (1 << 20)),
        figure(stream.gb_per_s),
        f"{stream.fraction:.0%}",
    )


def spread_row(name: str, spread: Spread) -> Row:
    return (name, *spread_cells(spread))


def spread_cells(spread: Spread) -> Row:
    return (figure(spread.median), figure(spread.low), figure(spread.high))


def show_memory(report: Report, terminal: Terminal) -> None:
    loaded, peak = report.memory.loaded, report.memory.peak
    terminal.line(
        f"memory    held {peak.held_mib:.1f} MiB at most ({loaded.held_mib:.1f} after loading), "
        f"RSS {peak.resident_mib:.1f} MiB at most ({loaded.resident_mib:.1f})"
    )
    terminal.line(
        f"          of {report.memory.process}, sampled every {report.memory.sampled_every_ms} ms; held is anonymous and "
        "shared memory, RSS counts files mapped besides"
    )
