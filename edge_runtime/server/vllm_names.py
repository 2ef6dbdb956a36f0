"""The names under which vLLM tells the same things, for dashboards, gateways and load tools that know them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from prometheus_client.core import CounterMetricFamily
from prometheus_client.metrics_core import Metric

from edge_runtime.server.instruments import QUEUE_FULL


@dataclass(frozen=True)
class Alias:
    """`own` without the ending of a counter, as families are named; `only` are the labels of the samples that are meant;
    they are left out."""

    own: str
    name: str
    only: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)  # vLLM's names of our labels

    def family(self, own: Metric, always: Mapping[str, str]) -> Metric:
        """The same values; every sample has the labels `always` besides."""
        family = Metric(self.name, own.documentation, own.type)
        for sample in own.samples:
            if self.only.items() <= sample.labels.items():
                kept = {
                    self.labels.get(name, name): value
                    for name, value in sample.labels.items()
                    if name not in self.only
                }
                name = self.name + sample.name.removeprefix(self.own)
                family.add_sample(name, {**always, **kept}, sample.value)
        return family


ALIASES = (
    Alias("edgevl_requests_running", "vllm:num_requests_running"),
    Alias("edgevl_requests_waiting", "vllm:num_requests_waiting"),
    Alias("edgevl_cache_share", "vllm:kv_cache_usage_perc"),
    Alias("edgevl_time_to_first_token_seconds", "vllm:time_to_first_token_seconds"),
    Alias("edgevl_inter_token_latency_seconds", "vllm:inter_token_latency_seconds"),
    Alias("edgevl_request_seconds", "vllm:e2e_request_latency_seconds"),
    Alias("edgevl_stage_seconds", "vllm:request_queue_time_seconds", {"stage": "queue"}),
    Alias("edgevl_stage_seconds", "vllm:request_prefill_time_seconds", {"stage": "prefill"}),
    Alias("edgevl_stage_seconds", "vllm:request_decode_time_seconds", {"stage": "decode"}),
    Alias("edgevl_prompt_tokens", "vllm:prompt_tokens"),
    Alias("edgevl_generation_tokens", "vllm:generation_tokens"),
    Alias("edgevl_request_prompt_tokens", "vllm:request_prompt_tokens"),
    Alias("edgevl_request_generation_tokens", "vllm:request_generation_tokens"),
    Alias("edgevl_requests", "vllm:request_success", labels={"finish_reason": "finished_reason"}),
    Alias("edgevl_engine_prompt_tokens", "vllm:prefix_cache_queries"),
    Alias("edgevl_engine_cached_tokens", "vllm:prefix_cache_hits"),
    Alias("edgevl_engine_pictures", "vllm:mm_cache_queries"),
    Alias("edgevl_engine_known_pictures", "vllm:mm_cache_hits"),
    Alias("edgevl_engine_drafted_tokens", "vllm:spec_decode_num_draft_tokens"),
    Alias("edgevl_engine_accepted_tokens", "vllm:spec_decode_num_accepted_tokens"),
    Alias("edgevl_corrupted_requests", "vllm:corrupted_requests"),
    Alias("edgevl_requests_rejected", "vllm:admission_rejections", {"reason": QUEUE_FULL}),
)


def vllm_families(own: Iterable[Metric], model: str) -> Iterator[Metric]:
    """With the labels that vLLM gives to everything."""
    always = {"model_name": model, "engine": "0"}
    by_name = {family.name: family for family in own}
    for alias in ALIASES:
        yield alias.family(by_name[alias.own], always)
    preemptions = CounterMetricFamily(
        "vllm:num_preemptions", "Questions put back for others: there are none.", labels=tuple(always)
    )
    preemptions.add_metric(tuple(always.values()), 0)
    yield preemptions
