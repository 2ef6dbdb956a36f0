"""The bundle that devices are tried with, and what the workbench answers from it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from edge_runtime.loading import load
from edge_runtime.request import Request
from tests.proof.subject import bundle_below, pictures, session_folder

QUESTION = "what is in the middle?"
LIMIT = 16


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundle_below(session_folder(tmp_path_factory), "windowed", "fp16")


@pytest.fixture(scope="session")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("picture") / "noise.png"
    pictures(1)[0].save(path)
    return path


@pytest.fixture(scope="session")
def run_arguments(bundle: Path, picture: Path) -> Sequence[str]:
    """`edge-vl` with these answers a question about the picture."""
    return (
        "run",
        str(bundle),
        "--image",
        str(picture),
        "--prompt",
        QUESTION,
        "--max-tokens",
        str(LIMIT),
        "--json",
    )


@pytest.fixture(scope="session")
def workbench_ids(bundle: Path, picture: Path) -> list[int]:
    with load(bundle) as assistant:
        ids = assistant.ask(QUESTION, picture, request=Request(max_tokens=LIMIT)).token_ids
    assert len(ids) > LIMIT // 2, "too short an answer to prove anything"
    return list(ids)
