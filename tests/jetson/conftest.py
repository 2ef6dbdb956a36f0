"""A folder that passes for a bundle as long as nobody opens it, and a board that does what it is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_runtime.manifest import MANIFEST_NAME
from tests.jetson.stand_in import StandIn


@pytest.fixture
def hollow(tmp_path: Path) -> Path:
    folder = tmp_path / "hollow"
    folder.mkdir()
    (folder / MANIFEST_NAME).write_text("{}")
    return folder


@pytest.fixture
def board(tmp_path: Path) -> StandIn:
    return StandIn(tmp_path)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "report.json"
