"""The one error users see: what happened, why, what to do, and a code that never changes."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from pathlib import Path

STDOUT_FAULT = "EVL-STDOUT"  # told on stderr alone


class EdgeVLError(Exception):
    """A mistake the user can mend. `exit_status` is what the command ends with."""

    exit_status = 2

    def __init__(self, code: str, what: str, why: str, fix: str) -> None:
        if not code.startswith("EVL-"):
            raise ValueError(f"error codes start with EVL-, got {code!r}")
        self.code = code
        self.what = one_line(what)
        self.why = one_line(why)
        self.fix = one_line(fix)
        super().__init__(f"{self.what}: {self.why}: {self.fix} [{code}]")


class CheckFailed(EdgeVLError):
    """A check ran to its end and the answer is no."""

    exit_status = 1


class MachineFault(EdgeVLError):
    """A fault of ours or of the machine, not of what the user asked for."""

    exit_status = 3


def listed(names: Iterable[str], limit: int = 5) -> str:
    """The first few names, each cut short, and how many more there are."""
    every = list(names)
    shown = ", ".join(name[:100] for name in every[:limit])
    return shown if len(every) <= limit else f"{shown} and {len(every) - limit} more"


def typed(command: str, *words: object) -> str:
    """A command that can be pasted into a shell: names may hold blanks, and those of files begin with a dash."""
    plain = [f"./{each}" if isinstance(each, Path) and str(each)[0] == "-" else str(each) for each in words]
    return f"{command} {shlex.join(plain)}"


def one_line(text: str, limit: int = 600) -> str:
    """Text from anywhere, made safe for one line of a terminal; blanks within a line stay, for names may hold several."""
    visible = "".join(c if c.isprintable() else "\n" for c in text)
    line = " ".join(part.strip() for part in visible.split("\n") if part.strip())
    return line if len(line) <= limit else line[: limit - 1] + "…"
