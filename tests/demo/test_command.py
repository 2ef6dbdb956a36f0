"""Progress, signals and errors of the demo's commands."""

from __future__ import annotations

import io
import signal
from collections.abc import Iterator

import pytest

from demo.command import Parser, ProgressLine, Stop, Stopped, status_told
from edge_runtime.errors import EdgeVLError


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


def told(stream: io.StringIO) -> str:
    times: Iterator[float] = iter([0.0, 0.05, 5.0, 20.0])
    line = ProgressLine(stream, lambda: next(times))
    for done in (10, 50, 90):
        line("asking", done, 100)
    line.clear()
    return stream.getvalue()


def test_progress_is_drawn_over_on_a_terminal_with_the_time_left() -> None:
    # 40 of 100 took 4.95 s, so 50 more take 6; 80 took 19.95 s, so 10 more take 2.
    first = "\r\x1b[Kasking  50 %, 0 min 06 s left"
    assert told(Tty()) == first + "\r\x1b[Kasking  90 %, 0 min 02 s left\r\x1b[K"


def test_progress_is_seldom_told_elsewhere() -> None:
    assert told(io.StringIO()) == "asking  90 %, 0 min 02 s left\n"


def test_a_signal_unwinds_and_is_remembered() -> None:
    stop, before = Stop(), signal.getsignal(signal.SIGTERM)
    try:
        stop.install()
        with pytest.raises(Stopped):
            signal.raise_signal(signal.SIGTERM)
        assert stop.number == signal.SIGTERM
        with pytest.raises(Stopped):
            stop.check()
    finally:
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, before)
        signal.signal(signal.SIGINT, signal.default_int_handler)


def test_an_error_is_three_lines_and_one_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert status_told(EdgeVLError("EVL-X", "a thing", "a reason", "a remedy"), is_json=True) == 2
    said = capsys.readouterr()
    assert said.err == "what: a thing [EVL-X]\nwhy:  a reason\ndo:   a remedy\n"
    assert said.out.startswith('{"error": ')


def test_a_wrong_command_line_is_the_users_mistake() -> None:
    with pytest.raises(EdgeVLError) as caught:
        Parser(prog="python -m demo.some").parse_args(["--nothing"])
    assert caught.value.code == "EVL-USAGE"
