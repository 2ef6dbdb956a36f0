"""The `edge-vl` command: the one place that prints, and the one place that turns errors into exit codes."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Iterable, Sequence
from typing import NoReturn, TextIO

from edge_runtime.errors import EdgeVLError
from edge_vl.parser import parsed_arguments

INTERRUPTED = 130  # what shells expect after Ctrl-C
OUR_FAULT = 3
BAR_WIDTH = 24
REDRAW_SECONDS = 0.1
COUNTED_BELOW = 1024  # smaller totals are steps, not bytes
PLAIN_SECONDS = 10.0  # between lines of one label where nobody watches a bar


class Terminal:
    """Results go to stdout; progress, logs and errors to stderr."""

    def __init__(self, out: TextIO, err: TextIO) -> None:
        self._out = out
        self._err = err
        self._is_live = err.isatty()
        self._label = ""
        self._label_began = 0.0
        self._drawn = time.monotonic()
        self._is_bar_open = False

    def write(self, text: str) -> None:
        """Part of a line of the result, at once."""
        self._clear_bar()
        print(text, end="", file=self._out, flush=True)

    def line(self, text: str = "") -> None:
        self.write(f"{text}\n")

    def table(self, rows: Iterable[Sequence[str]]) -> None:
        """Columns as wide as they need to be; the first row is the head."""
        cells = [list(row) for row in rows]
        widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
        for row in cells:
            self.line("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())

    def json(self, value: object) -> None:
        """The last line of stdout under --json."""
        self.line(json.dumps(value, ensure_ascii=False, allow_nan=False))

    def note(self, text: str) -> None:
        self._clear_bar()
        print(text, file=self._err, flush=True)

    def progress(self, label: str, done: int, total: int) -> None:
        """A bar with bytes and time left on a terminal, a line now and then otherwise."""
        now = time.monotonic()
        is_new, is_done = label != self._label, done >= total
        if is_new:
            self._label, self._label_began = label, now
        quiet = REDRAW_SECONDS if self._is_live else PLAIN_SECONDS
        if now - self._drawn < quiet and not (self._is_live and (is_new or is_done)):
            return
        self._drawn = now
        text = f"{label}  {amount(done, total)} of {amount(total, total)}"
        if not self._is_live:
            print(text, file=self._err, flush=True)
            return
        filled = BAR_WIDTH * done // max(total, 1)
        bar = "█" * filled + "░" * (BAR_WIDTH - filled)
        left = time_left(now - self._label_began, done, total)
        print(f"\r\x1b[K{bar}  {text}{left}", end="", file=self._err, flush=True)
        self._is_bar_open = True

    def error(self, error: EdgeVLError) -> None:
        self.note(f"what: {error.what} [{error.code}]")
        self.note(f"why:  {error.why}")
        self.note(f"do:   {error.fix}")

    def _clear_bar(self) -> None:
        if self._is_bar_open:
            print("\r\x1b[K", end="", file=self._err, flush=True)
            self._is_bar_open = False


def amount(count: int, total: int) -> str:
    if total < COUNTED_BELOW:
        return str(count)
    if total >= 1 << 30:
        return f"{count / (1 << 30):.2f} GiB"
    return f"{count / (1 << 20):.1f} MiB"


def time_left(spent: float, done: int, total: int) -> str:
    if done <= 0 or spent < 1.0 or done >= total:
        return ""
    seconds = round(spent * (total - done) / done)
    return f"  {seconds // 60}:{seconds % 60:02d} left"


def exit_status(arguments: Sequence[str], terminal: Terminal) -> int:
    try:
        chosen = parsed_arguments(arguments)
        status: int = chosen.verb(chosen, terminal)
    except EdgeVLError as error:
        terminal.error(error)
        return error.exit_status
    except KeyboardInterrupt:
        terminal.note("interrupted; nothing was left half-written")
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of stdout went away; Python would complain once more while it closes the stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except MemoryError:
        terminal.error(out_of_memory())
        return OUR_FAULT
    return status


def out_of_memory() -> EdgeVLError:
    return EdgeVLError(
        "EVL-MEMORY",
        "the machine has no memory left",
        "an allocation was refused",
        "close other programs, lower --max-context, or use a smaller precision",
    )


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(name)s: %(message)s")
    # A path or an answer may hold what the terminal's encoding lacks: show something, never fail.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    terminal = Terminal(sys.stdout, sys.stderr)
    sys.exit(exit_status(sys.argv[1:] if arguments is None else arguments, terminal))
