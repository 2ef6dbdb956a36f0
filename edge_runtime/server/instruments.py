"""The counters and histograms of what the front end sees of every question; their names never change."""

from __future__ import annotations

import re
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
TOKEN_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1, 2.5)
TOKENS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)

OTHER = "other"
LABEL = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,47}")
QUEUE_FULL = "queue_full"
# The words of the routes, then those of the listener.
REASONS = (
    QUEUE_FULL,
    "restarting",
    "too_large",
    "bad_request",
    "headers_too_large",
    "headers_too_slow",
    "body_too_large",
    "body_too_slow",
    "bad_length",
    "unsupported_encoding",
    "no_room_for_body",
    "too_many_connections",
    "client_stalled",
    "missing_host",
    "unknown_host",
    "cross_origin",
    "invalid_api_key",
    "insufficient_scope",
    OTHER,
)
PICTURE_STAGES = ("decode_image", "preprocess", "vision")
STAGES = ("queue", *PICTURE_STAGES, "prefill", "decode", OTHER)
FINISHES = ("stop", "length", "abort", "error", OTHER)


class Bounded:
    """Words that may be label values: those known, and the first few others of a plain form. The rest are one word."""

    def __init__(self, known: Iterable[str] = (), limit: int = 48) -> None:
        self._known = set(known)
        self._limit = limit

    def __call__(self, word: str) -> str:
        if word in self._known:
            return word
        if len(self._known) >= self._limit or not LABEL.fullmatch(word):
            return OTHER
        self._known.add(word)
        return word


class Instruments:
    """Registered in `registry`. Label sets are made beforehand, so that a rate is known from the first event on."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self.in_flight = Gauge(
            "edgevl_requests_in_flight", "Questions that the front end works on.", registry=registry
        )
        self.finished = self._counter(
            "edgevl_requests_total", "Questions that ended, by how.", "finish_reason", FINISHES
        )
        self.failed = self._counter(
            "edgevl_requests_failed_total", "Questions that ended with an error, by its code.", "code"
        )
        self.rejected = self._counter(
            "edgevl_requests_rejected_total", "Requests that were turned away, by why.", "reason", REASONS
        )
        self.corrupted = self._counter(
            "edgevl_corrupted_requests_total", "Answers given up for numbers that are none."
        )
        self.ignored_fields = self._counter(
            "edgevl_ignored_fields_total", "Fields of requests that nothing was made of."
        )
        self._count_tokens()
        self._measure_seconds()

    def _count_tokens(self) -> None:
        self.prompt_tokens = self._counter(
            "edgevl_prompt_tokens_total", "Tokens of the prompts that were answered, of pictures too."
        )
        self.image_tokens = self._counter(
            "edgevl_image_tokens_total", "Of the prompt tokens those of pictures."
        )
        self.cached_tokens = self._counter(
            "edgevl_cached_tokens_total", "Of the prompt tokens those that were in the cache."
        )
        self.generation_tokens = self._counter("edgevl_generation_tokens_total", "Tokens of answers.")
        self.request_prompt_tokens = self._histogram(
            "edgevl_request_prompt_tokens", "Tokens of one prompt.", TOKENS
        )
        self.request_generation_tokens = self._histogram(
            "edgevl_request_generation_tokens", "Tokens of one answer.", TOKENS
        )

    def _measure_seconds(self) -> None:
        self.first_token = self._histogram(
            "edgevl_time_to_first_token_seconds", "From the question to the first of its answer.", SECONDS
        )
        self.inter_token = self._histogram(
            "edgevl_inter_token_latency_seconds", "Between two tokens of an answer.", TOKEN_SECONDS
        )
        self.request = self._histogram(
            "edgevl_request_seconds", "From the question to the end of its answer.", SECONDS
        )
        self.stage = Histogram(
            "edgevl_stage_seconds",
            "What one answer took, by stage.",
            ["stage"],
            buckets=SECONDS,
            registry=self._registry,
        )
        for stage in STAGES:
            self.stage.labels(stage)

    def _counter(self, name: str, help_: str, label: str = "", values: Iterable[str] = ()) -> Counter:
        counter = Counter(name, help_, [label] if label else [], registry=self._registry)
        for value in values:
            counter.labels(value)
        return counter

    def _histogram(self, name: str, help_: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(name, help_, buckets=buckets, registry=self._registry)
