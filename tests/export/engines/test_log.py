from __future__ import annotations

from export.engines.log import KEPT, BuildLog

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


def test_a_missing_driver_is_never_the_cause() -> None:
    log = BuildLog()
    for line in ("Error Code 4: the cause", NO_DRIVER):
        log.hear("ERROR", line)
    assert log.last_words() == "Error Code 4: the cause"


def test_the_driver_is_cut_out_of_a_message_that_says_more() -> None:
    log = BuildLog()
    log.hear("ERROR", f"the cause\n{NO_DRIVER}")
    assert log.last_words() == "the cause"


def test_only_the_last_warnings_and_errors_are_kept() -> None:
    log = BuildLog()
    for number in range(KEPT + 5):
        log.hear("WARNING", f"warning {number}")
        log.hear("ERROR", f"error {number}")
    assert (len(log.warnings), log.warnings[0]) == (KEPT, "warning 5")
    assert log.last_words() == "; ".join(f"error {number}" for number in range(KEPT + 2, KEPT + 5))


def test_refused_allocations_are_about_memory_and_other_errors_are_not() -> None:
    for line, expected in (
        ("Error Code 2: OutOfMemory (Requested size was 134218111 bytes.)", True),
        ("K", False),
    ):
        log = BuildLog()
        log.hear("ERROR", line)
        assert log.is_about_memory() is expected
