"""The bench: loads, answers, contexts and the machine's bandwidth, measured in turn."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass

from edge_runtime.backends.ort_library import imported_onnxruntime
from edge_runtime.backends.provider import CPU
from edge_runtime.bench.bandwidth import read_speeds_gb_per_s
from edge_runtime.bench.energy import Metered
from edge_runtime.bench.gates import judged
from edge_runtime.bench.machine import machine_here, versions_here
from edge_runtime.bench.options import BenchOptions
from edge_runtime.bench.report import (
    FORMAT,
    KIND,
    Energy,
    Memory,
    Report,
    shape_from_bundle,
)
from edge_runtime.bench.runs import AnswerRun, ContextRun, MeteredRun, answer_run, chat_prompt, context_run
from edge_runtime.bench.spread import spread_of
from edge_runtime.bench.subject import Lap, LoadRun, Subject, opened_subject
from edge_runtime.bench.summary import answer_times, context_times, energy_of, load_times
from edge_runtime.bench.traffic import traffic_of
from edge_runtime.bundle import Bundle
from edge_runtime.errors import EdgeVLError, one_line
from edge_runtime.facts import precision_of
from edge_runtime.memory import MemoryUse, MemoryWatch, memory_of_tree
from edge_runtime.picture_limits import PictureLimits
from edge_runtime.picture_source import ImageSource, picture_from_source
from edge_runtime.progress import Progress, silent
from edge_runtime.prompt import PromptTokens, check_fits

SAMPLE_MS = 50  # seldom enough that the watch costs nothing that can be measured


@dataclass(frozen=True)
class Findings:
    """What one loaded subject gave."""

    bundle: Bundle
    engine: str
    precision: dict[str, str]
    library_ms: float | None
    load: LoadRun
    prompt: PromptTokens
    cold: AnswerRun
    answers: list[AnswerRun]
    contexts: dict[int, list[ContextRun]]
    energy: Energy | None
    loaded: MemoryUse
    peak: MemoryUse


class Steps:
    """Tells `progress` how many of the measurements are done."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress = progress
        self._total = total
        self._done = 0

    def done(self) -> None:
        self._done += 1
        self._progress("measuring", self._done, self._total)


def report_from_options(
    options: BenchOptions, command: str, date: str, progress: Progress = silent
) -> Report:
    """Measures all there is; minutes for a large model. `command` and `date` are written down as they are."""
    sizes = picture_sizes(options.pictures)
    busy = os.getloadavg()[0]
    steps = Steps(progress, 3 + options.runs * (2 + len(options.contexts)))
    speeds = bandwidth_passes(steps)
    findings = findings_from_options(options, progress, steps)
    loads = [findings.load, *more_loads(options, progress, steps)]
    bandwidth = spread_of([*speeds, *bandwidth_passes(steps)])
    bundle, ceiling = findings.bundle, bandwidth.high
    traffic = traffic_of(bundle) if findings.engine == CPU.engine else None
    answer = answer_times(sizes, findings.prompt, findings.cold, findings.answers, traffic, ceiling)
    peak = rounded(findings.peak)
    speed, first = answer.decode_tokens_per_s.median, answer.first_token_ms.median
    return Report(
        kind=KIND,
        format=FORMAT,
        bundle=one_line(bundle.folder.name),  # bytes that are no text are no JSON either
        command=command,
        date=date,
        engine=findings.engine,
        precision=findings.precision,
        machine=machine_here(),
        versions=versions_here(),
        load_average=round(busy, 2),
        bandwidth_gb_per_s=bandwidth,
        shape=shape_from_bundle(bundle),
        load=load_times(findings.library_ms, loads),
        answer=answer,
        contexts=tuple(
            context_times(context, runs, traffic, ceiling) for context, runs in findings.contexts.items()
        ),
        skipped_contexts=tuple(each for each in options.contexts if each not in findings.contexts),
        memory=Memory("the bench process itself", SAMPLE_MS, rounded(findings.loaded), peak),
        energy=findings.energy,
        gates=judged(options.gates, speed, first, peak.held_mib),
    )


def bandwidth_passes(steps: Steps) -> list[float]:
    """Before and after all else, never beside it: on a shared machine one moment alone may be a bad one."""
    speeds = read_speeds_gb_per_s()
    steps.done()
    return speeds


def findings_from_options(options: BenchOptions, progress: Progress, steps: Steps) -> Findings:
    """Of one load; the engine is closed afterwards, so that others can be loaded in its place."""
    with MemoryWatch(seconds=SAMPLE_MS / 1000) as watch:
        library_ms = library_times()
        subject, load = opened_subject(options.bundle, options.wish, progress)
        loaded = memory_of_tree(os.getpid())
        steps.done()
        prompt = fitting_prompt(subject, options)
        (cold, *answers), energy = answers_of(subject, options, steps)
        contexts = contexts_of(subject, options, steps)
        subject.close()
    return Findings(
        bundle=subject.bundle,
        engine=subject.backend.name,
        precision=precision_of(subject.bundle, subject.backend),
        library_ms=library_ms,
        load=load,
        prompt=prompt,
        cold=cold,
        answers=answers,
        contexts=contexts,
        energy=energy,
        loaded=loaded,
        peak=watch.peak,
    )


def library_times() -> float | None:
    """Of importing ONNX Runtime; engines of their own do without it."""
    lap = Lap()
    try:
        imported_onnxruntime()
    except EdgeVLError:
        return None
    return lap.ms()


def fitting_prompt(subject: Subject, options: BenchOptions) -> PromptTokens:
    """The prompt as the answers have it; an EdgeVLError before anything is measured if it does not fit."""
    prompt = chat_prompt(subject, options.prompt, [b""] * len(options.pictures))
    check_fits(prompt, options.max_tokens, subject.decoder.capacity)
    return prompt


def answers_of(
    subject: Subject, options: BenchOptions, steps: Steps
) -> tuple[list[AnswerRun], Energy | None]:
    """The first one cold: it reads the weights from the disk and makes the engine's buffers, and is in no energy."""
    answers, metered = list[AnswerRun](), list[MeteredRun | None]()
    with Metered() as meter:
        for _ in range(1 + options.runs):
            before, start = meter.joules(), time.perf_counter()
            answers.append(answer_run(subject, options.pictures, options.prompt, options.max_tokens))
            seconds, after = time.perf_counter() - start, meter.joules()
            spent = None if before is None or after is None else after - before
            metered.append(None if spent is None else MeteredRun(spent, seconds))
            steps.done()
        name = "" if meter.meter is None else meter.meter.name
    warm = [each for each in metered[1:] if each is not None]
    return answers, energy_of(name, warm) if warm else None


def contexts_of(subject: Subject, options: BenchOptions, steps: Steps) -> dict[int, list[ContextRun]]:
    found: dict[int, list[ContextRun]] = {}
    for context in options.contexts:
        for _ in range(options.runs):
            if context <= subject.decoder.capacity:
                run = context_run(subject, context, options.steps_at(context))
                found.setdefault(context, []).append(run)
            steps.done()
    return found


def more_loads(options: BenchOptions, progress: Progress, steps: Steps) -> list[LoadRun]:
    loads = []
    for _ in range(options.runs - 1):
        subject, load = opened_subject(options.bundle, options.wish, progress)
        subject.close()
        del subject
        loads.append(load)
        steps.done()
    return loads


def picture_sizes(pictures: Sequence[ImageSource]) -> tuple[str, ...]:
    """Decoded once before the model is loaded: a picture that cannot be read is said at once."""
    sizes = [picture_from_source(each, PictureLimits()).size for each in pictures]
    return tuple(f"{width}x{height}" for width, height in sizes)


def rounded(use: MemoryUse) -> MemoryUse:
    return MemoryUse(round(use.held_mib, 1), round(use.resident_mib, 1))
