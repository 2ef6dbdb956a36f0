"""One small checkpoint and its bundle for all tests of the command. Nobody writes into them."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from safetensors.torch import load_file, save_file

from demo.random_checkpoint import write_random_checkpoint
from demo.sizes import SIZES
from tests.edge_vl.command import ran
from tests.proof.subject import bundle_below, made_by_one, session_folder

CONTEXT = 32768  # long enough that an answer can be interrupted
VISIBLE = 94  # the first tokens of the stand-in tokenizer are ASCII's visible characters


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = session_folder(tmp_path_factory) / "tiny"
    with made_by_one(path) as is_mine:
        if is_mine:
            write_visible(path)
    return path


def write_visible(path: Path) -> None:
    """Greedy answers are visible ASCII and never end: every other token is as likely as visible ones on average."""
    spec = SIZES["tiny-low"]
    spec = replace(spec, decoder=replace(spec.decoder, max_positions=CONTEXT))
    write_random_checkpoint(spec, path, "original", "float32")
    weights = load_file(path / "model.safetensors")
    head = weights["language_model.lm_head.weight"]
    head[VISIBLE:] = head[:VISIBLE].mean(0)
    save_file(weights, path / "model.safetensors", {"format": "pt"})


@pytest.fixture(scope="session")
def bundle(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = session_folder(tmp_path_factory) / "tiny.bundle"
    with made_by_one(path) as is_mine:
        if is_mine:
            result = ran("export", checkpoint, path, "--precision", "fp32", "--max-context", str(CONTEXT))
            assert result.status == 0, result.err
    return path


@pytest.fixture
def own_checkpoint(checkpoint: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(checkpoint, tmp_path / "checkpoint"))


@pytest.fixture
def own_bundle(bundle: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(bundle, tmp_path / "bundle"))


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "picture.png"
    Image.new("RGB", (40, 30), (200, 40, 40)).save(path)
    return path


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A float bundle with both towers, to be calibrated."""
    return bundle_below(session_folder(tmp_path_factory), "hybrid")


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for index in range(3):
        Image.radial_gradient("L").resize((60 + index, 40)).save(folder / f"{index}.png")
    return folder
