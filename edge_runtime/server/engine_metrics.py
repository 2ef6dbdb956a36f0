"""What is told of the engine when somebody looks: its state, its facts, what its workers counted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from edge_runtime.server.engine import Condition, Engine, EngineFacts, EngineState, Health
from edge_runtime.server.totals import Totals

COUNTERS = {
    "said": ("edgevl_engine_said_tokens_total", "Tokens that the engine said, for whoever went away too."),
    "prompt_tokens": ("edgevl_engine_prompt_tokens_total", "Tokens of prompts that the engine was given."),
    "cached_tokens": ("edgevl_engine_cached_tokens_total", "Of those the ones that were in the cache."),
    "pictures": ("edgevl_engine_pictures_total", "Pictures that the engine was shown."),
    "known_pictures": ("edgevl_engine_known_pictures_total", "Of those the ones that were encoded before."),
    "drafted": ("edgevl_engine_drafted_tokens_total", "Tokens that were guessed ahead."),
    "accepted": ("edgevl_engine_accepted_tokens_total", "Of those the ones that were right."),
}
MIB = 1 << 20


class EngineMetrics(Collector):
    """An engine that is not ready runs nothing, whatever it last said of itself."""

    def __init__(self, engine: Engine, totals: Totals) -> None:
        self._engine = engine
        self._totals = totals

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        health, state, facts = self._engine.health, self._engine.state, self._engine.facts
        yield from loads(state if health.condition == "ready" else EngineState())
        for name, total in self._totals.seen(state, health.restarts).items():
            yield CounterMetricFamily(*COUNTERS[name], value=total)
        yield from conditions(health)
        if facts is not None:
            yield from constants(facts)


def loads(state: EngineState) -> Iterator[GaugeMetricFamily]:
    yield GaugeMetricFamily("edgevl_requests_running", "Questions being answered.", state.running)
    yield GaugeMetricFamily("edgevl_requests_waiting", "Questions that wait for a slot.", state.waiting)
    yield GaugeMetricFamily(
        "edgevl_cache_share", "Of the rows of the KV cache those in use, 0 to 1.", state.cache_share
    )
    yield GaugeMetricFamily(
        "edgevl_last_token_age_seconds",
        "Since a token or a piece of a prompt was done; 0 while nothing runs.",
        state.last_token_age_s or 0.0,
    )


def conditions(health: Health) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
    yield CounterMetricFamily(
        "edgevl_engine_restarts_total", "Workers that ended and were begun anew.", health.restarts
    )
    family = GaugeMetricFamily("edgevl_engine_condition", "1 for what it is.", labels=["condition"])
    for each in get_args(Condition):
        family.add_metric([each], float(each == health.condition))
    yield family
    yield GaugeMetricFamily(
        "edgevl_engine_degradations", "How much is not as it should be.", len(health.degraded)
    )


def constants(facts: EngineFacts) -> Iterator[GaugeMetricFamily]:
    info = GaugeMetricFamily(
        "edgevl_engine_info", "What answers; always 1.", labels=["hash", "engine", "precision"]
    )
    precision = ",".join(f"{role}={kind}" for role, kind in sorted(facts.precision.items()))
    info.add_metric([facts.bundle_hash, facts.engine, precision], 1)
    yield info
    yield GaugeMetricFamily("edgevl_engine_slots", "Questions that run at a time.", facts.slots)
    yield GaugeMetricFamily(
        "edgevl_engine_context_tokens", "The longest prompt and answer together.", facts.max_context
    )
    yield GaugeMetricFamily(
        "edgevl_engine_memory_bytes", "What the worker held after opening.", facts.memory_mib * MIB
    )
