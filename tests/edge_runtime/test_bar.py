"""Progress on one line."""

from __future__ import annotations

import pytest

from edge_runtime.bar import bar_line, plain_line, time_left

GIB = 1 << 30


def test_a_bar_shows_how_much_of_how_much_and_the_time_left() -> None:
    line = bar_line("writing decoder", GIB, 4 * GIB, 60.0, 100, has_blocks=True)
    assert line == "██████░░░░░░░░░░░░░░░░░░  writing decoder  1.00 GiB of 4.00 GiB  1:00 left"


def test_a_terminal_without_blocks_gets_ascii() -> None:
    assert bar_line("hash", 512, 1024, None, 100, has_blocks=False).isascii()


def test_a_bar_never_wraps() -> None:
    assert len(bar_line("a long label " * 20, 1, GIB, 5.0, 40, has_blocks=True)) == 39


@pytest.mark.parametrize(
    ("label", "done", "total", "said"),
    [
        ("sitting the exam", 700, 1500, "700 of 1500"),
        ("ranking layers", 3, 1 << 20, "3 of 1048576"),
        ("hash", 1 << 20, 3 << 20, "1.0 MiB of 3.0 MiB"),
        ("hashing", 500, 900, "0.0 MiB of 0.0 MiB"),
        ("tracing decoder", 0, 1 << 20, "0.0 MiB of 1.0 MiB"),
    ],
)
def test_bytes_are_told_by_the_label_and_never_by_the_size(
    label: str, done: int, total: int, said: str
) -> None:
    assert plain_line(label, done, total, None) == f"{label}  {said}"


def test_work_without_anything_to_do_has_a_full_line() -> None:
    assert plain_line("hash", 0, 0, None) in bar_line("hash", 0, 0, None, 100, has_blocks=True)


def test_hours_are_told_as_hours() -> None:
    assert [time_left(seconds) for seconds in (None, 3.4, 270, 22325)] == [
        "",
        "  0:03 left",
        "  4:30 left",
        "  6:12:05 left",
    ]
