"""Full-size checkpoints, one at a time: together they would not fit a laptop's disk."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Path]:
    """A folder that is emptied at once after the test; pytest would keep it for three sessions."""
    yield tmp_path
    shutil.rmtree(tmp_path)
