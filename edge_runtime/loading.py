"""Opening a bundle on an engine."""

from __future__ import annotations

from pathlib import Path

from edge_runtime.assistant import Assistant
from edge_runtime.backends.ort import OrtBackend
from edge_runtime.bundle import Bundle
from edge_runtime.errors import EdgeVLError
from edge_runtime.progress import Progress, silent

ENGINES = ("auto", "onnxruntime")


def load(
    path: str | Path,
    engine: str = "auto",
    max_context: int | None = None,
    is_trusted: bool = False,
    progress: Progress = silent,
) -> Assistant:
    """The assistant of the bundle at `path`. Hashes are checked unless `is_trusted`; structure always."""
    check_engine(engine)
    bundle = Bundle.open(Path(path), is_trusted, progress)
    return Assistant(bundle, OrtBackend(bundle), max_context)


def check_engine(name: str) -> None:
    if name not in ENGINES:
        raise EdgeVLError(
            "EVL-ENGINE-UNKNOWN",
            f"there is no engine {name!r} here",
            f"this edge-vl has {', '.join(ENGINES)}",
            "choose one of these, or leave --engine out",
        )
