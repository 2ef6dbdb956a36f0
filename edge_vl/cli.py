"""The `edge-vl` command: where whatever ends a verb becomes words and an exit code."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import NoReturn

from edge_runtime import standard_streams
from edge_runtime.errors import EdgeVLError
from edge_vl.faults import DEBUG_VARIABLE, error_from_fault
from edge_vl.parser import parsed_arguments
from edge_vl.signals import Stopped
from edge_vl.terminal import Terminal

NOBODY_READS = 128 + signal.SIGPIPE


def exit_status(arguments: Sequence[str], terminal: Terminal) -> int:
    """Runs the command. Whatever ends it is said in words and becomes a number."""
    is_json = "--json" in arguments
    try:
        return told_status(arguments, terminal, is_json)
    except BrokenPipeError:
        return NOBODY_READS
    except EdgeVLError as error:  # stdout failed while an error was told
        terminal.error(error, is_json=False)
        return error.exit_status
    except KeyboardInterrupt:
        return ended(Stopped(signal.SIGINT), terminal, is_json)
    except Stopped as stopped:
        return ended(stopped, terminal, is_json)


def told_status(arguments: Sequence[str], terminal: Terminal, is_json: bool) -> int:
    try:
        chosen = parsed_arguments(arguments)
        status: int = chosen.verb(chosen, terminal)
    except (BrokenPipeError, KeyboardInterrupt, Stopped):
        raise
    except SystemExit as end:  # --help and --version
        with suppress(BrokenPipeError):  # who has seen enough of it
            terminal.write("")  # what was printed has to arrive
        return int(end.code or 0)
    except BaseException as fault:  # panics of Rust libraries are no Exceptions
        if (stopped := terminal.signals.cause()) is not None:
            raise stopped from fault
        error = error_from_fault(fault)
        if error is not fault:
            error.__cause__ = fault
        terminal.error(error, is_json)
        return error.exit_status
    return status


def ended(stopped: Stopped, terminal: Terminal, is_json: bool) -> int:
    terminal.note(stopped.words())
    if is_json:
        why, fix = "a signal came", "run it again"
        record = {"code": "EVL-STOPPED", "what": stopped.words(), "why": why, "fix": fix}
        terminal.json({"error": record})
    return stopped.exit_status


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Runs the command and ends the process."""
    standard_streams.fill_gaps()
    out, err = sys.stdout or standard_streams.nowhere(), sys.stderr or standard_streams.nowhere()
    logging.basicConfig(level=logging.WARNING, stream=err, format="%(name)s: %(message)s")
    # A path or an answer may hold what the terminal's encoding lacks: show something, never fail.
    for stream, errors in (
        (out, "backslashreplace"),
        (err, "backslashreplace"),
        (sys.stdin, "surrogateescape"),
    ):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=errors)
    terminal = Terminal(out, err, sys.stdin, bool(os.environ.get(DEBUG_VARIABLE)))
    status: int | None = None
    try:
        terminal.signals.unwind()  # within the try: one may come at once
        status = exit_status(sys.argv[1:] if arguments is None else arguments, terminal)
        terminal.signals.rest()  # within the try: what comes before it is still an exception
    except Stopped as stopped:  # once more, while the last words were said; or too late, when all was done and is as it was
        status = stopped.exit_status if status is None else status
    except (KeyboardInterrupt, BrokenPipeError):
        status = 128 + signal.SIGINT if status is None else status
    terminal.signals.rest()
    for stream in (out, err):
        standard_streams.let_go(stream)
    sys.exit(status)
