from __future__ import annotations

from edge_vl.bar import bar_line, plain_line, time_left

GIB = 1 << 30


def test_a_bar_shows_how_much_of_how_much_and_the_time_left() -> None:
    line = bar_line("writing decoder", GIB, 4 * GIB, 20.0, 100, has_blocks=True)
    assert line == "██████░░░░░░░░░░░░░░░░░░  writing decoder  1.00 GiB of 4.00 GiB  1:00 left"


def test_a_terminal_without_blocks_gets_ascii() -> None:
    assert bar_line("hash", 512, 1024, 0.0, 100, has_blocks=False).isascii()


def test_a_bar_never_wraps() -> None:
    assert len(bar_line("a long label " * 20, 1, GIB, 5.0, 40, has_blocks=True)) == 39


def test_small_totals_are_steps_and_large_ones_bytes() -> None:
    assert plain_line("greedy", 3, 32) == "greedy  3 of 32"
    assert plain_line("hash", 1 << 20, 3 << 20) == "hash  1.0 MiB of 3.0 MiB"


def test_work_without_anything_to_do_has_a_full_line() -> None:
    assert plain_line("hash", 0, 0) in bar_line("hash", 0, 0, 0.0, 100, has_blocks=True)


def test_nobody_guesses_the_time_left_in_the_first_second_or_at_the_end() -> None:
    assert time_left(0.5, 1, 10) == ""
    assert time_left(9.0, 10, 10) == ""
    assert time_left(9.0, 0, 10) == ""
    assert time_left(65.0, 1, 2) == "  1:05 left"
