"""Opening a bundle on an engine."""

from __future__ import annotations

from pathlib import Path

from edge_runtime.assistant import Assistant
from edge_runtime.backends.ort import OrtBackend
from edge_runtime.backends.provider import CPU
from edge_runtime.bundle import Bundle
from edge_runtime.choice import AUTO, Choice, Ground, Wish, check_engine, chosen, told
from edge_runtime.errors import MachineFault
from edge_runtime.progress import Progress, silent


def load(
    path: str | Path,
    engine: str = AUTO,
    max_context: int | None = None,
    is_trusted: bool = False,
    progress: Progress = silent,
    engines: Path | None = None,
    ground: Ground = Ground(),
) -> Assistant:
    """The assistant of the bundle at `path`. Hashes are checked unless `is_trusted`; structure always. `engines` is the
    folder that built engines lie in, if it is not a usual one. Where nobody asked for an engine by name, one that turns
    out not to open is replaced by ONNX Runtime."""
    check_engine(engine)
    bundle = Bundle.open(Path(path), is_trusted, progress)
    choice = chosen(bundle, Wish(engine, max_context, engines, is_trusted), ground, progress)
    try:
        return opened(bundle, choice)
    except MachineFault as fault:
        if engine != AUTO or choice.backend.name == CPU.engine or "ort" not in bundle.manifest.dialects:
            raise
        why = f"{choice.backend.name}: {told(fault)}"
        return opened(bundle, Choice(OrtBackend(bundle, provider=CPU), max_context, why))


def opened(bundle: Bundle, choice: Choice) -> Assistant:
    try:
        return Assistant(bundle, choice.backend, choice.max_context, engine_reason=choice.why)
    except BaseException:
        choice.backend.close()
        raise
