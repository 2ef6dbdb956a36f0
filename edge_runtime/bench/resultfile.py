"""A result file that appears whole or not at all, and never in place of another."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge_runtime.publish import (
    check_parent,
    exists_error,
    locked_stage,
    named_setup_faults,
    named_write_faults,
    rename_without_replacing,
    sweep_leftovers,
    sync,
)


@contextmanager
def staged_file(out: Path) -> Iterator[Path]:
    """A path to write, which becomes `out` when the body ends well. As `publish.staged_folder`, for a file.

    Whether `out` can be made is known on entering, before the body spends minutes.
    """
    target = Path(os.path.abspath(out))  # noqa: PTH100  (resolve() would follow a link that must be refused)
    with named_write_faults(target):
        check_parent(target)
        with named_setup_faults(target):
            sweep_leftovers(target)
        if os.path.lexists(target):
            raise exists_error(target)
        with locked_stage(target) as stage:
            file = stage / target.name
            yield file
            sync(file)
            rename_without_replacing(file, target)
            sync(target.parent)
