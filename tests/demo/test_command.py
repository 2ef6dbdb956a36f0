"""Signals and errors of the demo's commands."""

from __future__ import annotations

import logging
import signal
import sys

import pytest

from demo.command import Parser, Stop, Stopped, status_told
from edge_runtime.errors import EdgeVLError


class Signalled:
    """A signal comes where nobody can be told."""

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGTERM)


def test_a_signal_unwinds_and_is_remembered(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    stop, before = Stop(), signal.getsignal(signal.SIGTERM)
    try:
        stop.install()
        with pytest.raises(Stopped):
            signal.raise_signal(signal.SIGTERM)
        assert stop.number == signal.SIGTERM
        with pytest.raises(Stopped):
            stop.check()
        stop.number = 0
        Signalled()
        logging.getLogger("torch").error("what a library makes of a signal")
        assert (stop.number, capsys.readouterr().err) == (signal.SIGTERM, "")
    finally:
        logging.disable(logging.NOTSET)
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
