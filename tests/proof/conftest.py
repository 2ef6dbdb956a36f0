"""Subjects made once a session, and the largest differences they showed, stated at its end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edge_runtime.dialects import Dialect
from tests.checkpoints import SMALL_MODELS
from tests.proof.subject import Subject, session_folder

Note = Callable[[str, float], None]
TENSORRT_DIALECTS: tuple[Dialect, ...] = ("trt10", "trt")
LARGEST = pytest.StashKey[dict[str, float]]()


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return session_folder(tmp_path_factory)


# Every model in the product's own dialect; in the others those that say something new: shared heads, padded windows.
SPOKEN: list[tuple[str, Dialect]] = [
    *((name, "ort") for name in SMALL_MODELS),
    *((name, dialect) for name in ("grouped", "windowed") for dialect in TENSORRT_DIALECTS),
]


@pytest.fixture(scope="session", params=SPOKEN, ids="-".join)
def subject(request: pytest.FixtureRequest, folder: Path) -> Subject:
    name, dialect = request.param
    return Subject.of(name, folder, dialect)


@pytest.fixture(scope="session")
def note(request: pytest.FixtureRequest) -> Note:
    """Remembers the largest value under each label."""
    largest = request.config.stash.setdefault(LARGEST, {})

    def keep(label: str, value: float) -> None:
        largest[label] = max(value, largest.get(label, 0.0))

    return keep


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for label, value in sorted(config.stash.get(LARGEST, {}).items()):
        terminalreporter.write_line(f"proof: {label}: {value:.3g}")
