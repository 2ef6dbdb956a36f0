"""A small file written anew in the place of the one before."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge_runtime.publish import is_stage_name, named_write_faults, sync

SUFFIX = ".partial"  # by its name the stage is known for one where the system refuses it


@contextmanager
def replaced_file(target: Path) -> Iterator[Path]:
    """A path to write at. Others see the old file or the new one; what a killed process left is swept by the next."""
    with named_write_faults(target):
        for stale in stages_of_the_dead(target):
            stale.unlink(missing_ok=True)
        stage = target.with_name(f".{target.name}.{os.getpid():016x}{SUFFIX}")
        try:
            yield stage
            sync(stage)
            stage.replace(target)
            sync(target.parent.resolve())
        finally:
            stage.unlink(missing_ok=True)


def stages_of_the_dead(target: Path) -> Iterator[Path]:
    for stage in target.parent.glob(f".{glob.escape(target.name)}.*{SUFFIX}"):
        owner = stage.name.removesuffix(SUFFIX).rpartition(".")[2]
        if is_stage_name(stage.name, target) and not Path("/proc", str(int(owner, 16))).exists():
            yield stage
