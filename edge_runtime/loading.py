"""Opening a bundle on an engine."""

from __future__ import annotations

from pathlib import Path

from edge_runtime.assistant import Assistant
from edge_runtime.bundle import Bundle
from edge_runtime.choice import AUTO, Wish, check_engine, chosen
from edge_runtime.progress import Progress, silent


def load(
    path: str | Path,
    engine: str = AUTO,
    max_context: int | None = None,
    is_trusted: bool = False,
    progress: Progress = silent,
    engines: Path | None = None,
) -> Assistant:
    """The assistant of the bundle at `path`. Hashes are checked unless `is_trusted`; structure always. `engines` is the
    folder that built engines lie in, if it is not a usual one."""
    check_engine(engine)
    bundle = Bundle.open(Path(path), is_trusted, progress)
    choice = chosen(bundle, Wish(engine, max_context, engines, is_trusted), progress=progress)
    try:
        return Assistant(bundle, choice.backend, choice.max_context, engine_reason=choice.why)
    except BaseException:
        choice.backend.close()
        raise
