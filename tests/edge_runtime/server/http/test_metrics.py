"""What a scrape holds, under our names and under another server's."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from edge_runtime.server.engine import EngineState, Health
from edge_runtime.server.http.metrics import Compat, metrics_router
from edge_runtime.server.meter import Meter
from edge_runtime.server.process_metrics import ProcessMetrics
from edge_runtime.server.said import Done
from edge_runtime.server.totals import Totals
from edge_runtime.version import VERSION
from tests.edge_runtime.server.fake_engine import FACTS, FakeEngine

DONE = Done("stop", 12, 8, 3, 4, {"queue": 1.0, "vision": 20.0, "prefill": 30.0, "decode": 40.0})
VLLM_NAMES = """num_requests_running num_requests_waiting kv_cache_usage_perc time_to_first_token_seconds
    inter_token_latency_seconds e2e_request_latency_seconds request_queue_time_seconds
    request_prefill_time_seconds request_decode_time_seconds prompt_tokens_total generation_tokens_total
    request_success_total num_preemptions_total prefix_cache_queries_total prefix_cache_hits_total
    mm_cache_queries_total mm_cache_hits_total corrupted_requests_total admission_rejections_total"""
OWN_NAMES = """stage_seconds engine_info requests_rejected_total last_token_age_seconds build_info
    requests_running requests_waiting cache_share engine_restarts_total process_resident_memory_bytes
    process_open_descriptors requests_in_flight"""


class Server:
    """An app of the one route, and what stands behind it."""

    def __init__(self, compat: Compat = "none") -> None:
        self.meter = Meter()
        self.engine = FakeEngine()
        self.app = FastAPI()
        self.app.include_router(metrics_router(self.meter, self.engine, compat))

    def got(self, method: str = "GET") -> httpx2.Response:
        async def got() -> httpx2.Response:
            transport = httpx2.ASGITransport(app=self.app)
            async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
                return await client.request(method, "/metrics")

        return asyncio.run(got())

    def families(self) -> dict[str, Metric]:
        return {family.name: family for family in text_string_to_metric_families(self.got().text)}

    def value(self, name: str, **labels: str) -> float | None:
        """Of the one sample with these labels at least."""
        found = [
            sample.value
            for family in self.families().values()
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        ]
        assert len(found) < 2, f"{name} {labels} names several"
        return found[0] if found else None

    def answer(self, times: int = 1) -> None:
        for _ in range(times):
            watch = self.meter.watch()
            for _ in range(DONE.completion_tokens):
                watch.piece()
            watch.done(DONE)


def names(families: dict[str, Metric]) -> set[str]:
    return {f"{name}_total" if family.type == "counter" else name for name, family in families.items()}


def test_a_scrape_is_text_that_nobody_keeps() -> None:
    response = Server().got()
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert response.headers["cache-control"] == "no-store"


def test_head_works_too() -> None:
    assert Server().got("HEAD").status_code == 200


def test_our_names_are_there_before_anything_happened() -> None:
    assert {f"edgevl_{name}" for name in OWN_NAMES.split()} <= names(Server().families())


def test_other_names_are_there_only_where_they_are_wanted() -> None:
    assert {f"vllm:{name}" for name in VLLM_NAMES.split()} <= names(Server("vllm").families())
    assert not [name for name in names(Server().families()) if name.startswith("vllm")]


def test_counters_are_those_of_the_requests_there_were() -> None:
    server = Server("vllm")
    server.answer(times=7)
    server.meter.watch().failed("EVL-LOGITS-NONFINITE")
    server.meter.watch().left()
    server.meter.rejected("queue_full")
    server.meter.rejected("invalid_api_key")
    assert server.value("edgevl_requests_total", finish_reason="stop") == 7
    assert server.value("vllm:request_success_total", finished_reason="stop") == 7
    assert server.value("vllm:request_success_total", finished_reason="abort") == 1
    assert server.value("vllm:prompt_tokens_total") == 7 * DONE.prompt_tokens
    assert server.value("vllm:generation_tokens_total") == 7 * DONE.completion_tokens
    assert server.value("vllm:corrupted_requests_total") == 1
    assert server.value("vllm:admission_rejections_total") == 1
    assert server.value("vllm:e2e_request_latency_seconds_count") == 7


def test_other_names_tell_the_same_values() -> None:
    server = Server("vllm")
    server.answer(times=3)
    families = server.families()
    for stage in ("queue", "prefill", "decode"):
        own = [
            (sample.name.removeprefix("edgevl_stage_seconds"), sample.labels.get("le"), sample.value)
            for sample in families["edgevl_stage_seconds"].samples
            if sample.labels["stage"] == stage
        ]
        name = f"vllm:request_{stage}_time_seconds"
        theirs = [
            (sample.name.removeprefix(name), sample.labels.get("le"), sample.value)
            for sample in families[name].samples
        ]
        assert own == theirs
        assert ("_count", None, 3) in theirs


def test_other_names_carry_the_model_on_every_sample() -> None:
    for name, family in Server("vllm").families().items():
        if name.startswith("vllm:"):
            assert family.samples, name
            for sample in family.samples:
                assert sample.labels["model_name"] == FACTS.model
                assert sample.labels.keys() <= {"model_name", "engine", "le", "finished_reason"}


def test_other_names_wait_for_the_model_to_be_known() -> None:
    server = Server("vllm")
    server.engine.facts = None
    found = names(server.families())
    assert not [name for name in found if name.startswith("vllm:")]
    assert "edgevl_requests_running" in found


def test_the_state_of_the_engine_is_that_of_the_moment() -> None:
    server = Server()
    server.engine.state = EngineState(running=2, waiting=5, cache_share=0.25, last_token_age_s=1.5)
    assert server.value("edgevl_requests_running") == 2
    assert server.value("edgevl_requests_waiting") == 5
    assert server.value("edgevl_cache_share") == 0.25
    assert server.value("edgevl_last_token_age_seconds") == 1.5
    server.engine.state = EngineState()
    assert server.value("edgevl_requests_running") == 0
    assert server.value("edgevl_last_token_age_seconds") == 0


def test_an_engine_that_is_gone_runs_nothing() -> None:
    server = Server()
    server.engine.state = EngineState(running=2, waiting=5, last_token_age_s=1.5)
    server.engine.health = Health("restarting", restarts=1)
    assert server.value("edgevl_requests_running") == 0
    assert server.value("edgevl_engine_condition", condition="restarting") == 1
    assert server.value("edgevl_engine_condition", condition="ready") == 0
    assert server.value("edgevl_engine_restarts_total") == 1


def said_over(*seen: tuple[EngineState, int]) -> list[float | None]:
    """What scrapes tell as the tokens said, of states and restarts one after the other."""
    server = Server()
    told = []
    for state, restarts in seen:
        server.engine.state, server.engine.health = state, Health("ready", restarts=restarts)
        told.append(server.value("edgevl_engine_said_tokens_total"))
    return told


def test_totals_go_on_where_the_worker_before_ended() -> None:
    assert said_over((EngineState(said=5), 0), (EngineState(said=2), 1), (EngineState(said=4), 1)) == [
        5,
        7,
        9,
    ]


def test_totals_do_not_count_twice_while_a_worker_is_missing() -> None:
    states = [(EngineState(said=5), 0), (EngineState(), 0), (EngineState(), 1), (EngineState(said=3), 1)]
    assert said_over(*states) == [5, 5, 5, 8]


def test_totals_go_on_where_the_app_is_made_anew() -> None:
    server = Server()
    for said in (5, 2):
        server.engine.state = EngineState(said=said)
        assert server.value("edgevl_engine_said_tokens_total")
    server.app = FastAPI()
    server.app.include_router(metrics_router(server.meter, server.engine))
    assert server.value("edgevl_engine_said_tokens_total") == 7


def test_totals_know_a_new_worker_that_already_said_more() -> None:
    assert said_over((EngineState(said=5), 0), (EngineState(said=5), 1), (EngineState(said=9), 1)) == [
        5,
        5,
        14,
    ]


def test_totals_know_a_new_worker_by_any_of_its_figures() -> None:
    old, new = EngineState(said=5, pictures=3), EngineState(said=6, pictures=1)
    assert said_over((old, 0), (new, 0)) == [5, 11]


@given(st.lists(st.lists(st.integers(0, 5), max_size=5), max_size=5))
def test_totals_are_the_sum_of_all_that_was_seen(lives: list[list[int]]) -> None:
    totals, whole = Totals(), 0
    for restarts, steps in enumerate(lives):
        said = 0
        totals.seen(EngineState(), restarts)
        for step in steps:
            said, whole = said + step, whole + step
            assert totals.seen(EngineState(said=said), restarts)["said"] == whole


def test_what_answers_is_told_by_its_hash_its_engine_and_its_precision() -> None:
    server = Server()
    server.engine.facts = replace(FACTS, precision={"vision_low": "int8", "decoder": "int4"})
    labels = {"hash": FACTS.bundle_hash, "engine": "fake", "precision": "decoder=int4,vision_low=int8"}
    assert server.value("edgevl_engine_info", **labels) == 1
    assert server.value("edgevl_engine_memory_bytes") == FACTS.memory_mib * 2**20
    assert server.value("edgevl_build_info", version=VERSION) == 1


def test_every_value_is_a_number() -> None:
    server = Server("vllm")
    server.answer()
    server.meter.watch().done(replace(DONE, timings_ms={"prefill": float("nan")}))
    values = [sample.value for family in server.families().values() for sample in family.samples]
    assert all(math.isfinite(value) and value >= 0 for value in values)


def test_a_scrape_holds_no_series_of_when_it_was_made() -> None:
    assert not [name for name in Server("vllm").families() if name.endswith("_created")]


def test_questions_of_any_kind_make_no_new_series() -> None:
    server = Server()
    before = server.got().text.count("\n")
    for number in range(50):
        server.meter.watch().done(replace(DONE, finish_reason=f"r{number}", timings_ms={f"s{number}": 1.0}))
        server.meter.rejected(f"GET /{number} {{")
    assert server.got().text.count("\n") == before


def test_scrapes_while_answers_are_under_way_only_ever_grow() -> None:
    server = Server("vllm")
    seen: list[float] = []
    for _ in range(5):
        watch = server.meter.watch()
        watch.piece()
        assert server.value("edgevl_requests_in_flight") == 1
        seen.append(server.value("vllm:generation_tokens_total") or 0)
        watch.piece()
        watch.done(replace(DONE, completion_tokens=2))
        seen.append(server.value("vllm:generation_tokens_total") or 0)
    assert seen == sorted(seen)
    assert seen[-1] == 10


def test_the_process_is_told_where_the_kernel_tells(tmp_path: Path) -> None:
    told = {family.name: family.samples[0].value for family in ProcessMetrics().collect()}
    assert told["edgevl_process_resident_memory_bytes"] > 1 << 20
    assert told["edgevl_process_open_descriptors"] > 0
    assert [family.name for family in ProcessMetrics(tmp_path).collect()] == ["edgevl_build_info"]


@pytest.mark.parametrize("compat", ["none", "vllm"])
def test_the_schema_can_be_made(compat: Compat) -> None:
    assert list(Server(compat).app.openapi()["paths"]["/metrics"]) == ["get"]
