"""What the user sees and types: the one place that prints."""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from typing import TextIO

from edge_runtime.errors import STDOUT_FAULT, EdgeVLError, MachineFault
from edge_runtime.progress_line import ProgressLine, is_unicode, spared
from edge_vl.signals import Signals

# An answer is untrusted: on a terminal its control characters are shown, not obeyed.
SHOWN = {code: "\ufffd" for code in (*range(32), *range(127, 160)) if code not in b"\n\t\r"} | {
    ord("\r"): None
}


class Terminal:
    """Results go to stdout; progress, prompts, logs and errors to stderr; `lines` is what the user types."""

    def __init__(
        self,
        out: TextIO,
        err: TextIO,
        lines: TextIO | None = None,
        is_debugged: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._out = out
        self._err = err
        self._lines = lines
        self._is_debugged = is_debugged
        self.signals = Signals(clock)
        self._bar = ProgressLine(err, clock)

    @property
    def is_typed(self) -> bool:
        """Whether a person writes the lines."""
        return self._lines is not None and self._lines.isatty()

    @property
    def is_watched(self) -> bool:
        """Whether a person sees what is noted; no longer where their terminal was closed."""
        return self._err.isatty()

    def write(self, text: str) -> None:
        """Part of a line of the result, at once."""
        self._bar.clear()
        try:
            print(text.translate(SHOWN) if self._out.isatty() else text, end="", file=self._out, flush=True)
        except BrokenPipeError:
            raise
        except OSError as fault:
            fix = "free space, or send the output elsewhere"
            raise MachineFault(STDOUT_FAULT, "stdout cannot be written", f"{fault.strerror}", fix) from fault

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
        # Another encoding's stand-ins for what it lacks would not be JSON.
        self.line(json.dumps(value, ensure_ascii=not is_unicode(self._out), allow_nan=False))

    def note(self, text: str) -> None:
        self._bar.clear()
        with spared():
            print(text, file=self._err, flush=True)

    def ask(self, prompt: str) -> str | None:
        """The next line, None after the last; a person is shown the prompt."""
        if self._lines is None:
            return None
        if self.is_typed:
            self._bar.clear()
            with spared():
                print(prompt, end="", file=self._err, flush=True)
            self.signals.wait_for_line(self._lines)
        line = self._lines.readline()
        if not line and self.is_typed:
            self.note("")
        return line.rstrip("\r\n") if line else None

    def progress(self, label: str, done: int, total: int) -> None:
        """A bar with the time left on a terminal, a line now and then otherwise."""
        self.signals.check()
        self._bar(label, done, total)

    def error(self, error: EdgeVLError, is_json: bool) -> None:
        """Three lines for people; under --json one for programs besides, `{"error": {...}}`."""
        if self._is_debugged:
            self.note("".join(traceback.format_exception(error)).rstrip())
        self.note(f"what: {error.what} [{error.code}]")
        self.note(f"why:  {error.why}")
        self.note(f"do:   {error.fix}")
        if is_json and error.code != STDOUT_FAULT:
            record = {"code": error.code, "what": error.what, "why": error.why, "fix": error.fix}
            self.json({"error": record})
