"""What each of the two processes is made of: the front end may run on another Python than the engine."""

from __future__ import annotations

import subprocess
import sys

from edge_runtime.child import child_environment


def modules_of(name: str) -> set[str]:
    """The top-level modules that importing it brings."""
    words = f"import {name}, sys; print(*{{each.partition('.')[0] for each in sys.modules}})"
    ended = subprocess.run(
        [sys.executable, "-c", words], stdout=subprocess.PIPE, text=True, env=child_environment(), check=True
    )
    return set(ended.stdout.split())


def test_the_front_end_needs_nothing_of_the_engine() -> None:
    found = modules_of("edge_runtime.server.front, edge_runtime.server.serving, edge_runtime.server.keeper")
    assert {"fastapi", "uvicorn"} <= found
    assert not found & {"numpy", "PIL", "onnxruntime", "tokenizers", "llguidance"}


def test_the_worker_knows_nothing_of_http() -> None:
    found = modules_of("edge_runtime.server.worker.__main__")
    assert {"numpy", "PIL", "tokenizers"} <= found
    assert not found & {"fastapi", "uvicorn", "starlette", "pydantic", "prometheus_client", "h11"}
