"""From runs to figures: the middle, the lowest and the highest of each."""

from __future__ import annotations

from collections.abc import Sequence

from edge_runtime.bench.report import AnswerTimes, ContextTimes, Energy, LoadTimes, StageTimes, stream_at
from edge_runtime.bench.runs import AnswerRun, ContextRun, MeteredRun
from edge_runtime.bench.spread import Spread, spread_of
from edge_runtime.bench.subject import LoadRun
from edge_runtime.bench.traffic import Traffic
from edge_runtime.prompt import PromptTokens


def load_times(library_ms: float | None, loads: Sequence[LoadRun]) -> LoadTimes:
    hashings = [load.hashing_ms for load in loads if load.hashing_ms is not None]
    return LoadTimes(
        library_ms=None if library_ms is None else round(library_ms, 3),
        hashing_ms=spread_of(hashings) if hashings else None,
        structure_ms=spread_of(load.structure_ms for load in loads),
        tokenizer_ms=spread_of(load.tokenizer_ms for load in loads),
        sessions_ms=spread_of(load.sessions_ms for load in loads),
        total_ms=spread_of(load.total_ms for load in loads),
    )


def answer_times(
    sizes: tuple[str, ...],
    prompt: PromptTokens,
    cold: AnswerRun,
    runs: Sequence[AnswerRun],
    traffic: Traffic | None,
    ceiling: float,
) -> AnswerTimes:
    steps = len(cold.decoded.steps_ms)
    speed = spread_of(run.decoded.tokens_per_s for run in runs)
    last_context = len(prompt) + steps  # the last token chosen is never fed
    return AnswerTimes(
        pictures=sizes,
        prompt_tokens=len(prompt),
        image_tokens=prompt.image_token_count,
        new_tokens=steps + 1,
        cold_first_token_ms=round(cold.first_token_ms, 3),
        stages=stage_times(runs),
        first_token_ms=spread_of(run.first_token_ms for run in runs),
        decode_tokens_per_s=speed,
        stream=None if traffic is None else stream_at(traffic.bytes_at(last_context), speed.median, ceiling),
    )


def energy_of(meter: str, metered: Sequence[MeteredRun]) -> Energy:
    return Energy(
        meter,
        spread_of(each.joules for each in metered),
        spread_of(each.joules / each.seconds for each in metered),
    )


def stage_times(runs: Sequence[AnswerRun]) -> StageTimes:
    def stage(name: str) -> Spread:
        return spread_of(run.stages_ms[name] for run in runs)

    has_high = any(run.stages_ms["vision_high"] > 0 for run in runs)
    return StageTimes(
        decode_image_ms=stage("decode_image"),
        preprocess_ms=stage("preprocess"),
        vision_high_ms=stage("vision_high") if has_high else None,
        vision_low_ms=stage("vision_low"),
        adaptor_ms=stage("adaptor"),
        tokenize_ms=stage("tokenize"),
        prefill_ms=stage("prefill"),
        sample_ms=stage("sample"),
        other_ms=stage("other"),
    )


def context_times(
    context: int, runs: Sequence[ContextRun], traffic: Traffic | None, ceiling: float
) -> ContextTimes:
    prefill = spread_of(run.prefill_ms for run in runs)
    speed = spread_of(run.decoded.tokens_per_s for run in runs)
    return ContextTimes(
        context=context,
        steps=len(runs[0].decoded.steps_ms),
        prefill_ms=prefill,
        prefill_tokens_per_s=round(1000 * context / prefill.median, 3),
        decode_tokens_per_s=speed,
        stream=None if traffic is None else stream_at(traffic.bytes_at(context), speed.median, ceiling),
    )
