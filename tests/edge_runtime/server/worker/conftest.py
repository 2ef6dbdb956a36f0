from __future__ import annotations

import pytest

from edge_runtime.bundle import Bundle
from tests.proof.subject import bundle_below, session_folder


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return Bundle.open(bundle_below(session_folder(tmp_path_factory), "windowed"), is_trusted=True)
