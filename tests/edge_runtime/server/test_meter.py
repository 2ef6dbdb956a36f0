"""Questions are counted once, however they end, and nothing that others chose becomes a label."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from edge_runtime.server.instruments import Bounded
from edge_runtime.server.meter import Meter
from edge_runtime.server.said import Done
from edge_runtime.server.watch import Watch

DONE = Done(
    finish_reason="stop",
    prompt_tokens=12,
    image_tokens=8,
    cached_tokens=3,
    completion_tokens=4,
    timings_ms={"queue": 1.0, "vision": 20.0, "prefill": 30.0, "decode": 40.0, "total": 91.0},
)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def told(meter: Meter, name: str, **labels: str) -> float | None:
    return meter.registry.get_sample_value(name, labels)


def test_an_answer_is_counted_with_its_tokens_and_its_end() -> None:
    meter = Meter()
    for _ in range(3):
        watch = meter.watch()
        for _ in range(4):
            watch.piece()
        watch.done(DONE)
    assert told(meter, "edgevl_requests_total", finish_reason="stop") == 3
    assert told(meter, "edgevl_prompt_tokens_total") == 36
    assert told(meter, "edgevl_image_tokens_total") == 24
    assert told(meter, "edgevl_cached_tokens_total") == 9
    assert told(meter, "edgevl_generation_tokens_total") == 12
    assert told(meter, "edgevl_request_prompt_tokens_count") == 3


def test_the_first_piece_is_the_first_token_and_the_others_are_between_tokens() -> None:
    clock = Clock()
    meter = Meter(clock)
    watch = meter.watch()
    for spent in (2.0, 0.5, 0.5):
        clock.now += spent
        watch.piece()
    clock.now += 1.0
    watch.done(DONE)
    assert told(meter, "edgevl_time_to_first_token_seconds_sum") == 2.0
    assert told(meter, "edgevl_time_to_first_token_seconds_count") == 1
    assert told(meter, "edgevl_inter_token_latency_seconds_sum") == 1.0
    assert told(meter, "edgevl_inter_token_latency_seconds_count") == 2
    assert told(meter, "edgevl_request_seconds_sum") == 4.0


def test_a_piece_of_several_tokens_shares_its_time_among_them() -> None:
    clock = Clock()
    meter = Meter(clock)
    watch = meter.watch()
    watch.piece()
    clock.now += 0.9
    watch.piece(3)
    assert told(meter, "edgevl_inter_token_latency_seconds_count") == 3
    assert told(meter, "edgevl_inter_token_latency_seconds_sum") == pytest.approx(0.9)


def test_a_piece_of_no_token_is_not_one() -> None:
    meter = Meter()
    meter.watch().piece(0)
    assert told(meter, "edgevl_time_to_first_token_seconds_count") == 0


def test_tokens_of_an_answer_under_way_are_counted_as_they_come() -> None:
    meter = Meter()
    watch = meter.watch()
    for _ in range(10):
        watch.piece()
    assert told(meter, "edgevl_generation_tokens_total") == 9  # the last may be text that was held back
    watch.done(replace(DONE, completion_tokens=9))
    assert told(meter, "edgevl_generation_tokens_total") == 9


def test_stages_are_told_in_seconds_and_the_total_is_none() -> None:
    meter = Meter()
    meter.watch().done(DONE)
    assert told(meter, "edgevl_stage_seconds_sum", stage="vision") == pytest.approx(0.02)
    assert told(meter, "edgevl_stage_seconds_sum", stage="prefill") == pytest.approx(0.03)
    assert told(meter, "edgevl_stage_seconds_count", stage="total") is None


def test_stages_of_pictures_are_left_out_where_there_was_none() -> None:
    meter = Meter()
    meter.watch().done(replace(DONE, timings_ms={"queue": 0.0, "vision": 0.0, "prefill": 3.0}))
    assert told(meter, "edgevl_stage_seconds_count", stage="vision") == 0
    assert told(meter, "edgevl_stage_seconds_count", stage="queue") == 1


def test_a_time_that_is_no_number_spoils_no_sum() -> None:
    meter = Meter()
    meter.watch().done(replace(DONE, timings_ms={"prefill": float("nan"), "decode": float("inf")}))
    assert told(meter, "edgevl_stage_seconds_sum", stage="prefill") == 0.0
    assert told(meter, "edgevl_stage_seconds_sum", stage="decode") == 0.0


ENDS: dict[str, Callable[[Watch], None]] = {
    "stop": lambda watch: watch.done(DONE),
    "error": lambda watch: watch.failed("EVL-ENGINE-RESTARTING"),
    "abort": lambda watch: watch.left(),
}


@pytest.mark.parametrize("reason", ENDS)
def test_nothing_is_in_flight_after_any_end(reason: str) -> None:
    meter = Meter()
    watch = meter.watch()
    assert told(meter, "edgevl_requests_in_flight") == 1
    ENDS[reason](watch)
    assert told(meter, "edgevl_requests_in_flight") == 0


@pytest.mark.parametrize("first", ENDS)
@pytest.mark.parametrize("second", ENDS)
def test_a_watch_ends_once(first: str, second: str) -> None:
    meter = Meter()
    watch = meter.watch()
    ENDS[first](watch)
    ENDS[second](watch)
    watch.piece()
    ended = {each: told(meter, "edgevl_requests_total", finish_reason=each) for each in ENDS}
    assert ended == {each: float(each == first) for each in ENDS}
    assert told(meter, "edgevl_requests_in_flight") == 0
    assert told(meter, "edgevl_time_to_first_token_seconds_count") == 0


@pytest.mark.parametrize("reason", ["error", "abort"])
def test_tokens_of_an_answer_cut_short_are_counted(reason: str) -> None:
    meter = Meter()
    watch = meter.watch()
    for _ in range(5):
        watch.piece()
    ENDS[reason](watch)
    assert told(meter, "edgevl_generation_tokens_total") == 5


def test_an_error_is_told_by_its_code() -> None:
    meter = Meter()
    meter.watch().failed("EVL-CONTEXT-OVERFLOW")
    meter.watch().failed("EVL-LOGITS-NONFINITE")
    assert told(meter, "edgevl_requests_failed_total", code="EVL-CONTEXT-OVERFLOW") == 1
    assert told(meter, "edgevl_corrupted_requests_total") == 1


def test_refusals_and_fields_nobody_knows_are_counted() -> None:
    meter = Meter()
    assert told(meter, "edgevl_requests_rejected_total", reason="queue_full") == 0
    meter.rejected("queue_full")
    meter.ignored_fields(3)
    assert told(meter, "edgevl_requests_rejected_total", reason="queue_full") == 1
    assert told(meter, "edgevl_ignored_fields_total") == 3


def test_label_values_are_bounded_in_number_and_in_form() -> None:
    word = Bounded(("known",), limit=3)
    assert [word(each) for each in ("known", "a", "b", "c", "a")] == ["known", "a", "b", "other", "a"]
    assert Bounded()('x"} 1\nevil 2') == "other"


def test_meters_have_nothing_in_common() -> None:
    one, other = Meter(), Meter()
    one.rejected("unknown_host")
    assert told(other, "edgevl_requests_rejected_total", reason="unknown_host") == 0
