"""A shelf that nothing lies on."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_runtime.engines.shelf import Shelf


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    made = Shelf(tmp_path / "engines")
    made.make()
    return made
