"""A script in the place of `edge-vl`: it says what it was told to say of each verb, and writes down how it was called."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Said:
    """By one call."""

    answer: object
    status: int = 0
    stderr: str = ""
    waits: bool = False  # until it is ended
    is_deaf: bool = False  # to signals that ask


def name_of(arguments: Sequence[str]) -> str:
    what, *words = arguments
    if what == "board":
        return what
    verb = words[0]
    for flag in ("--dry-run", "--against"):
        if flag in words:
            return f"{verb} {flag}"
    return f"{verb} {words[words.index('--engine') + 1]}" if verb in ("run", "bench") else verb


def main() -> None:
    folder, *arguments = sys.argv[1:]
    said = Said(**json.loads(Path(folder, "answers.json").read_text())[name_of(arguments)])
    if said.is_deaf:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda number, _: os.write(2, f"deaf to {number}\n".encode()))
    with Path(folder, "calls").open("a") as calls:
        calls.write(json.dumps({"arguments": arguments[1:], "pid": os.getpid()}) + "\n")
    sys.stderr.write(said.stderr)
    sys.stderr.flush()
    while said.waits:
        time.sleep(60)
    print(json.dumps(said.answer))
    sys.exit(said.status)


if __name__ == "__main__":
    main()
