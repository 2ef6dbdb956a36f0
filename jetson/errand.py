"""One command, run to its end: how it ended, how long it took, what it said."""

from __future__ import annotations

import json
import subprocess
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import IO

from edge_runtime.child import child_environment, ending_of
from edge_runtime.errors import one_line
from edge_runtime.record import parsed_json
from jetson.stop import Stop

TAIL_LINES = 20
DRAIN_S = 5.0  # for last words; only a process that left the child's group could hold the pipe longer

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Ended:
    """`status` is negative where a signal ended it. `answer` is the JSON object in the last line of stdout, if it is one.
    `tail` are the last lines of stderr."""

    status: int
    seconds: float
    answer: dict[str, object] | None
    tail: tuple[str, ...]

    @property
    def error(self) -> dict[str, object]:
        """As `--json` tells errors; empty where there is none."""
        found = (self.answer or {}).get("error")
        return found if isinstance(found, dict) else {}

    @property
    def ending(self) -> str:
        """Why it failed, in a line."""
        if self.error:
            return one_line(f"{self.error.get('what')}: {self.error.get('why')}")
        if self.status == 0:
            return "it ended without a JSON object"
        if self.answer is not None:
            return "the check's answer is no: it says why"
        said = "\n".join(self.tail).encode(errors="replace")
        return ending_of(subprocess.CompletedProcess((), self.status, b"", said))


def ended_command(
    words: Sequence[str], stop: Stop, tell: Tell, clock: Callable[[], float] = time.monotonic
) -> Ended:
    """`tell` hears each line of its stderr at once, in another thread."""
    begun = clock()
    tail: deque[str] = deque(maxlen=TAIL_LINES)
    with tempfile.TemporaryFile() as out:
        child = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.PIPE,
            env=child_environment(),
            start_new_session=True,
        )
        assert child.stderr is not None
        listener = threading.Thread(target=listen, args=(child.stderr, tail, tell), daemon=True)
        listener.start()
        with stop.passed_to(child):
            status = child.wait()
        listener.join(DRAIN_S)
        out.seek(0)
        answer = answer_in(out.read())
    return Ended(status, round(clock() - begun, 2), answer, tuple(tail))


def listen(stream: IO[bytes], tail: deque[str], tell: Tell) -> None:
    with stream:
        for line in stream:
            heard(line, tail, tell)


def heard(line: bytes, tail: deque[str], tell: Tell) -> None:
    if said := one_line(line.decode(errors="replace")):
        tail.append(said)
        tell(said)


def answer_in(out: bytes) -> dict[str, object] | None:
    lines = out.rstrip().rsplit(b"\n", 1)
    try:
        found = parsed_json(lines[-1])
    except ValueError:  # it printed something else, or nothing
        return None
    # A path that is no text comes as halves of letters, which no report could hold.
    whole: object = json.loads(json.dumps(found, ensure_ascii=False).encode(errors="replace"))
    return whole if isinstance(whole, dict) else None
