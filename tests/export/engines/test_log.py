from __future__ import annotations

import pytest

from export.engines.log import KEPT, NOISE, BuildLog

NO_DRIVER = (
    "Error Code 1: Cuda Runtime (cudaError 35: CUDA driver version is insufficient for CUDA runtime version)"
)


def test_the_memory_figures_are_kept_one_for_each_profile() -> None:
    log = BuildLog()
    for line in ("Total Activation Memory: 8388608 bytes", "Total Activation Memory: 512 bytes"):
        log.hear("INFO", line)
    log.hear("INFO", "Total Weights Memory: 1320452 bytes")
    assert (log.activation_bytes, log.weight_bytes) == ([8388608, 512], 1320452)


def test_a_log_that_says_nothing_of_memory_leaves_the_figures_open() -> None:
    log = BuildLog()
    log.hear("VERBOSE", "Total Host Persistent Memory: 80 bytes")
    assert (log.activation_bytes, log.weight_bytes) == ([], None)


def test_a_missing_driver_is_never_the_cause_where_building_needs_none() -> None:
    log = BuildLog(NOISE["tensorrt-rtx"])
    for line in ("Error Code 4: the cause", NO_DRIVER):
        log.hear("ERROR", line)
    assert log.last_words() == "Error Code 4: the cause"


def test_the_driver_is_cut_out_of_a_message_that_says_more() -> None:
    log = BuildLog(NOISE["tensorrt-rtx"])
    log.hear("ERROR", f"the cause\n{NO_DRIVER}")
    assert log.last_words() == "the cause"


def test_a_missing_driver_is_told_by_an_engine_that_needs_one() -> None:
    assert "tensorrt" not in NOISE
    log = BuildLog()
    log.hear("ERROR", NO_DRIVER)
    assert log.last_words() == NO_DRIVER


def test_warnings_are_the_complaint_where_there_is_no_error() -> None:
    log = BuildLog()
    log.hear("WARNING", "CUDA initialization failure with error: 35")
    assert (log.last_words(), log.complaint()) == ("", "CUDA initialization failure with error: 35")
    log.hear("ERROR", "the cause")
    assert log.complaint() == "the cause"


def test_only_the_last_warnings_and_errors_are_kept() -> None:
    log = BuildLog()
    for number in range(KEPT + 5):
        log.hear("WARNING", f"warning {number}")
        log.hear("ERROR", f"error {number}")
    assert (len(log.warnings), log.warnings[0]) == (KEPT, "warning 5")
    assert log.last_words() == "; ".join(f"error {number}" for number in range(KEPT + 2, KEPT + 5))


NODE = "IBuilder::buildSerializedNetwork: Error Code 10: Could not find any implementation for node {ForeignNode[a...b]}."
SKIPPED = "Error Code: 9: Skipping tactic 0x0 due to exception autotuning: User allocator error allocating 7-byte buffer"


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["Error Code 2: OutOfMemory (Requested size was 134218111 bytes.)"], True),
        (["CUDA error 2 for 622329856-byte allocation.", NODE], True),
        (["Error Code 1: Cuda Runtime (out of memory)", SKIPPED, NODE], True),
        (["Unexpected exception std::bad_alloc", NO_DRIVER], True),
        (["K exceeds the maximum value"], False),
        ([NODE], False),
        ([], False),
        (["Error Code 1: Cuda Runtime (out of memory)", SKIPPED, "K exceeds the maximum value"], False),
    ],
)
def test_a_failure_is_about_memory_if_its_last_cause_is(lines: list[str], expected: bool) -> None:
    log = BuildLog(NOISE["tensorrt-rtx"])
    for line in lines:
        log.hear("ERROR", line)
    assert log.is_about_memory() is expected
