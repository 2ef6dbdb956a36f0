from __future__ import annotations

from collections.abc import Iterator

import pytest

from edge_runtime.assistant import Assistant
from edge_runtime.backends.ort import OrtBackend
from edge_runtime.bundle import Bundle
from edge_runtime.loop.loop import Limits, Loop
from tests.proof.subject import bundle_below, session_folder


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return Bundle.open(bundle_below(session_folder(tmp_path_factory), "windowed"), is_trusted=True)


@pytest.fixture
def loop(bundle: Bundle) -> Iterator[Loop]:
    backend = OrtBackend(bundle, threads=1)
    yield Loop(bundle, backend, Limits(slots=3, waiting=8))
    backend.close()


@pytest.fixture(scope="session")
def alone(bundle: Bundle) -> Iterator[Assistant]:
    with Assistant(bundle, OrtBackend(bundle, threads=1)) as assistant:
        yield assistant
