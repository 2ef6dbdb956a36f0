"""The line of progress, on a terminal and elsewhere."""

from __future__ import annotations

import errno
import io
from collections.abc import Iterator

import pytest

from edge_runtime.progress_line import ProgressLine


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


def told(stream: io.StringIO, steps: dict[float, int]) -> str:
    times: Iterator[float] = iter([0.0, *steps])
    line = ProgressLine(stream, lambda: next(times))
    for done in steps.values():
        line("asking", done, 128)
    line.clear()
    return stream.getvalue()


def test_it_is_drawn_over_on_a_terminal_with_the_time_left() -> None:
    drawn = told(Tty(), {0.5: 100, 0.55: 100, 10.5: 101}).split("\r\x1b[K")
    assert drawn[0] == drawn[-1] == ""
    assert [each.partition("  ")[2] for each in drawn[1:-1]] == [
        "asking  100 of 128",
        "asking  101 of 128  4:30 left",
    ]


def test_elsewhere_a_line_is_told_now_and_then_with_the_time_left() -> None:
    said = told(io.StringIO(), {0.0: 100, 5.0: 100, 10.0: 101, 15.0: 101, 20.0: 102})
    assert said == "asking  101 of 128  4:30 left\nasking  102 of 128  4:20 left\n"


def test_every_piece_of_work_has_a_time_of_its_own() -> None:
    now, err = [0.0], io.StringIO()
    line = ProgressLine(err, lambda: now[0])
    for label, second, done in (("one", 0.0, 0), ("one", 50.0, 1), ("other", 60.0, 0), ("other", 70.0, 5)):
        now[0] = second
        line(label, done, 10)
    assert err.getvalue().splitlines()[-1] == "other  5 of 10  0:10 left"


def test_what_was_never_drawn_is_not_erased() -> None:
    err = Tty()
    ProgressLine(err, lambda: 0.0).clear()
    assert err.getvalue() == ""


class Broken(io.StringIO):
    """A terminal that went away, or a file on a full disk."""

    def __init__(self, fault: OSError, is_tty: bool) -> None:
        super().__init__()
        self.fault = fault
        self.is_tty = is_tty

    def isatty(self) -> bool:
        return self.is_tty

    def flush(self) -> None:
        raise self.fault


@pytest.mark.parametrize("is_tty", [True, False])
def test_where_it_cannot_be_shown_the_work_goes_on(is_tty: bool) -> None:
    told(Broken(OSError(errno.EIO, "Input/output error"), is_tty), {0.0: 100, 20.0: 101})


def test_a_reader_who_left_is_told_of() -> None:
    with pytest.raises(BrokenPipeError):
        told(Broken(BrokenPipeError(), is_tty=False), {0.0: 100, 20.0: 101})
