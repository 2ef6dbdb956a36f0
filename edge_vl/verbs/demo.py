"""`edge-vl demo`."""

from __future__ import annotations

import shlex
import tempfile
from argparse import Namespace
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from edge_runtime.publish import staged_folder
from edge_vl.verbs.workbench import workbench

if TYPE_CHECKING:
    from demo.walkthrough import Step
    from edge_vl.terminal import Terminal


def run(arguments: Namespace, terminal: Terminal) -> int:
    with workbench("demo"):
        from demo.walkthrough import walk
    with folder_for(arguments.keep) as folder, closing(walk(folder, terminal.progress)) as walked:
        steps: list[Step] = []
        for step in walked:
            steps.append(step)
            if not arguments.json:
                show(step, terminal)
        is_passed = all(step.is_passed for step in steps)
        if arguments.json:
            terminal.json({"passed": is_passed, "steps": [step.to_json() for step in steps]})
    if not arguments.json:
        kept = shlex.quote(f"{arguments.keep}/bundle") if arguments.keep else "BUNDLE"
        terminal.line()
        terminal.line("next, with a DeepSeek-VL checkpoint of your own:")
        terminal.line("  edge-vl export CHECKPOINT BUNDLE")
        terminal.line("  edge-vl verify BUNDLE --against CHECKPOINT")
        terminal.line(f'  edge-vl run {kept} --image photo.jpg --prompt "What is in this picture?"')
        terminal.line(f"  edge-vl serve {kept}")
    return 0 if is_passed else 1


@contextmanager
def folder_for(keep: Path | None) -> Iterator[Path]:
    if keep is not None:
        with staged_folder(keep) as folder:
            yield folder
        return
    with tempfile.TemporaryDirectory(prefix="edge-vl-demo-") as folder:
        yield Path(folder)


def show(step: Step, terminal: Terminal) -> None:
    terminal.line(f"{step.name:<9} {step.seconds:6.2f} s  {step.summary}")
    for detail in step.details:
        terminal.line(f"{'':<9}           {detail}")
