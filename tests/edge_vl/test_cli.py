"""What ends a command, whatever its verb: each in words, with an exit code, without a traceback."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable

import pytest

from edge_runtime.errors import CheckFailed, EdgeVLError, MachineFault
from edge_vl.cli import exit_status
from edge_vl.signals import Stopped
from edge_vl.terminal import Terminal
from edge_vl.verbs import verify
from tests.edge_vl.command import Ran, assert_told

WORK = 1 << 20


class PanicError(BaseException):
    """As Rust libraries raise."""


class Broken(io.StringIO):
    """A stream that refuses to be written."""

    def __init__(self, fault: OSError) -> None:
        super().__init__()
        self.fault = fault

    def write(self, _: str) -> int:
        raise self.fault


class Typed(io.TextIOWrapper):
    """Lines that come from a person."""

    def isatty(self) -> bool:
        return True


class Screen(io.StringIO):
    """A terminal without a size."""

    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        raise OSError("no descriptor")


Ending = Callable[..., Ran]


@pytest.fixture
def ending(monkeypatch: pytest.MonkeyPatch) -> Ending:
    """`edge-vl verify` that ends with an exception."""

    def end(
        fault: BaseException, *more: str, is_debugged: bool = False, out: io.StringIO | None = None
    ) -> Ran:
        def run(*_: object) -> int:
            raise fault

        monkeypatch.setattr(verify, "run", run)
        out, err = out or io.StringIO(), io.StringIO()
        status = exit_status(["verify", "BUNDLE", *more], Terminal(out, err, is_debugged=is_debugged))
        return Ran(status, out.getvalue(), err.getvalue())

    return end


@pytest.mark.parametrize(("kind", "status"), [(EdgeVLError, 2), (CheckFailed, 1), (MachineFault, 3)])
def test_an_error_is_three_lines_and_the_status_of_its_kind(
    kind: type[EdgeVLError], status: int, ending: Ending
) -> None:
    result = ending(kind("EVL-X", "it broke", "it was old", "mend it"))
    assert_told(result, status, "EVL-X")
    assert result.err == "what: it broke [EVL-X]\nwhy:  it was old\ndo:   mend it\n"


@pytest.mark.parametrize("fault", [AssertionError(), KeyError("k"), RecursionError(), PanicError("panicked")])
def test_our_own_fault_is_said_without_a_traceback(fault: BaseException, ending: Ending) -> None:
    assert_told(ending(fault), 3, "EVL-INTERNAL")


def test_a_debugger_sees_the_traceback_before_the_words(ending: Ending) -> None:
    result = ending(ZeroDivisionError("here"), is_debugged=True)
    assert "Traceback" in result.err
    assert "ZeroDivisionError: here" in result.err
    assert result.err.splitlines()[-3].startswith("what: ")


def test_under_json_our_own_fault_is_one_record(ending: Ending) -> None:
    result = ending(ZeroDivisionError("here"), "--json")
    assert len(result.out.splitlines()) == 1
    assert result.record()["error"]["code"] == "EVL-INTERNAL"


def test_an_interruption_is_one_line(ending: Ending) -> None:
    assert ending(KeyboardInterrupt()) == Ran(130, "", "interrupted; nothing was left half-written\n")


def test_a_termination_is_one_line(ending: Ending) -> None:
    result = ending(Stopped(15))
    assert result == Ran(143, "", "stopped by SIGTERM; nothing was left half-written\n")


def test_under_json_an_interruption_is_a_record_too(ending: Ending) -> None:
    assert ending(KeyboardInterrupt(), "--json").record()["error"]["code"] == "EVL-STOPPED"


def test_a_reader_who_left_ends_the_command_without_a_word(ending: Ending) -> None:
    assert ending(BrokenPipeError()) == Ran(141, "", "")


def test_an_error_told_to_a_reader_who_left_ends_likewise(ending: Ending) -> None:
    result = ending(EdgeVLError("EVL-X", "a", "b", "c"), "--json", out=Broken(BrokenPipeError()))
    assert result.status == 141


def test_a_full_disk_behind_stdout_has_a_name(ending: Ending) -> None:
    full = Broken(OSError(28, "No space left on device"))
    result = ending(EdgeVLError("EVL-X", "a", "b", "c"), "--json", out=full)
    assert result.status == 3
    assert "[EVL-STDOUT]" in result.err
    assert "No space left on device" in result.err


def test_json_stays_json_where_the_encoding_lacks_the_letters() -> None:
    latin = io.TextIOWrapper(io.BytesIO(), encoding="latin-1", errors="backslashreplace")
    Terminal(latin, io.StringIO()).json({"text": "é中🙂"})
    latin.seek(0)
    assert json.loads(latin.read()) == {"text": "é中🙂"}


def test_json_spells_letters_out_where_it_can() -> None:
    out = io.StringIO()
    Terminal(out, io.StringIO()).json({"text": "é中"})
    assert out.getvalue() == '{"text": "é中"}\n'


def test_a_terminal_is_not_steered_by_an_answer() -> None:
    screen, file = Screen(), io.StringIO()
    for out in (screen, file):
        Terminal(out, io.StringIO()).write("a\x1b[2J\x9b\x07\tb\r\n")
    assert screen.getvalue() == "a\ufffd[2J\ufffd\ufffd\tb\n"
    assert file.getvalue() == "a\x1b[2J\x9b\x07\tb\r\n"  # programs get what the model said


def test_a_bar_is_drawn_over_itself_and_erased_before_the_result() -> None:
    screen, out, now = Screen(), io.StringIO(), [0.0]
    terminal = Terminal(out, screen, clock=lambda: now[0])
    for step in range(5):
        now[0] = float(step)
        terminal.progress("writing", step * WORK, 4 * WORK)
    terminal.line("done")
    drawn = screen.getvalue()
    assert drawn.count("\r\x1b[K") == 6
    assert "writing  2.0 MiB of 4.0 MiB  0:02 left" in drawn
    assert drawn.endswith("\r\x1b[K")
    assert "\n" not in drawn
    assert out.getvalue() == "done\n"


def test_a_bar_is_not_redrawn_for_every_byte() -> None:
    screen = Screen()
    terminal = Terminal(io.StringIO(), screen, clock=lambda: 5.0)
    for done in range(10_000):
        terminal.progress("writing", done, 1 << 20)
    assert screen.getvalue().count("writing") == 1


def test_a_dumb_terminal_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    screen, now = Screen(), [0.0]
    terminal = Terminal(io.StringIO(), screen, clock=lambda: now[0])
    now[0] = 11.0
    terminal.progress("writing", WORK, 4 * WORK)
    assert screen.getvalue() == "writing  1.0 MiB of 4.0 MiB\n"


def test_where_nobody_watches_only_long_work_is_told() -> None:
    err, now = io.StringIO(), [0.0]
    terminal = Terminal(io.StringIO(), err, clock=lambda: now[0])
    for second in range(25):
        now[0] = float(second)
        terminal.progress("writing", second * WORK, 24 * WORK)
    assert (
        err.getvalue()
        == "writing  10.0 MiB of 24.0 MiB  0:14 left\nwriting  20.0 MiB of 24.0 MiB  0:04 left\n"
    )


def test_a_prompt_is_for_people_only() -> None:
    err = io.StringIO()
    terminal = Terminal(io.StringIO(), err, io.StringIO("one\r\ntwo"))
    assert [terminal.ask("> ") for _ in range(3)] == ["one", "two", None]
    assert err.getvalue() == ""
    assert Terminal(io.StringIO(), err).ask("> ") is None


def test_a_person_is_asked_and_left_on_a_fresh_line() -> None:
    reading, writing = os.pipe()
    os.write(writing, b"hi\n")
    os.close(writing)
    err = io.StringIO()
    with Typed(os.fdopen(reading, "rb")) as typed:
        terminal = Terminal(io.StringIO(), err, typed)
        assert terminal.is_typed
        assert [terminal.ask("> "), terminal.ask("> ")] == ["hi", None]
    assert err.getvalue() == "> > \n"


def test_a_table_has_columns_as_wide_as_they_need() -> None:
    out = io.StringIO()
    Terminal(out, io.StringIO()).table([("role", "cosine"), ("decoder", "1.0")])
    assert out.getvalue() == "role     cosine\ndecoder  1.0\n"
