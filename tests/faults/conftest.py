"""One checkpoint as small as they come, and its bundle. Nobody writes into them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from demo.random_checkpoint import write_random_checkpoint
from demo.sizes import SIZES
from tests.faults.forge import Forge


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    spec = SIZES["tiny-low"]
    spec = replace(spec, low=replace(spec.low, layers=1), decoder=replace(spec.decoder, layers=1))
    path = tmp_path_factory.mktemp("checkpoint") / "tiny"
    write_random_checkpoint(spec, path, "original", "float32")
    return path


@pytest.fixture(scope="session")
def forge(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forge]:
    with Forge(tmp_path_factory.mktemp("forge"), checkpoint) as forge:
        yield forge


@pytest.fixture(scope="session")
def bundle(forge: Forge) -> Path:
    forge.await_ready()
    return forge.bundle
