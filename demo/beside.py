"""An export that goes on in a process of its own beside what else there is to do: tracing keeps one core busy, and machines have more."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import cast

from edge_runtime.child import child_environment
from edge_runtime.dialects import Dialect
from edge_runtime.progress import Progress
from export.engines.child import become_expendable
from export.exporter import export_bundle
from export.options import ExportOptions

TICK_S = 0.2


class Beside:
    """Begins at once; when it is left, it has ended."""

    def __init__(self, checkpoint: Path, out: Path, options: ExportOptions) -> None:
        self.checkpoint, self.out, self.options = checkpoint, out, options
        (self.dialect,) = options.dialects
        assert options == ExportOptions((self.dialect,), max_context=options.max_context), (
            "not all is passed on"
        )
        words = (os.getpid(), checkpoint.absolute(), out.absolute(), self.dialect, options.max_context)
        self.is_done_again = False
        self._begun_s = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "demo.beside", *map(str, words)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=out.parent,
            env=child_environment(),
        )

    def __enter__(self) -> Beside:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait()

    def finish(self, progress: Progress) -> float:
        """Waits for its end, and gives the seconds that it kept a core busy. Where it could not do it, it is done here, and whatever
        it is that it failed of is told."""
        before_s = seconds_of_children()
        while self.process.poll() is None:
            progress(f"exporting {self.dialect} for {time.monotonic() - self._begun_s:.0f} s", 0, 1)
            time.sleep(TICK_S)
        self.is_done_again = not self.out.exists()  # it appears whole
        if self.is_done_again:
            export_bundle(self.checkpoint, self.out, self.options, progress)
        return seconds_of_children() - before_s


def seconds_of_children() -> float:
    """Of those that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    become_expendable()
    checkpoint, out, dialect, context = sys.argv[2:]
    options = ExportOptions((cast(Dialect, dialect),), max_context=int(context))
    export_bundle(Path(checkpoint), Path(out), options)


if __name__ == "__main__":
    main()
