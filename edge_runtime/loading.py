"""Opening a bundle on an engine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from edge_runtime.assistant import Assistant
from edge_runtime.backends.ort import OrtBackend
from edge_runtime.backends.provider import CPU
from edge_runtime.bundle import Bundle
from edge_runtime.choice import AUTO, Choice, Ground, Wish, check_engine, chosen, told
from edge_runtime.draft import drafts_for
from edge_runtime.errors import MachineFault
from edge_runtime.progress import Progress, silent

T = TypeVar("T")


def load(
    path: str | Path,
    engine: str = AUTO,
    max_context: int | None = None,
    is_trusted: bool = False,
    progress: Progress = silent,
    engines: str | Path | None = None,
    ground: Ground = Ground(),
) -> Assistant:
    """The assistant of the bundle at `path`. Hashes are checked unless `is_trusted`; structure always. `engines` is the
    folder that built engines lie in, if it is not a usual one. Where nobody asked for an engine by name, one that turns
    out not to open is replaced by ONNX Runtime."""
    wish = Wish(engine, max_context, None if engines is None else Path(engines), is_trusted)
    return opened_with(assistant_of, Path(path), wish, progress, ground)


def assistant_of(bundle: Bundle, choice: Choice) -> Assistant:
    drafts = drafts_for(choice.backend.name)
    return Assistant(bundle, choice.backend, choice.max_context, engine_reason=choice.why, drafts=drafts)


def opened_with(
    make: Callable[[Bundle, Choice], T],
    path: Path,
    wish: Wish,
    progress: Progress = silent,
    ground: Ground = Ground(),
) -> T:
    """What `make` makes of the bundle at `path` on the engine that is chosen for it; see `load`."""
    check_engine(wish.engine)
    return made_on_chosen(make, Bundle.open(path, wish.is_trusted, progress), wish, progress, ground)


def made_on_chosen(
    make: Callable[[Bundle, Choice], T],
    bundle: Bundle,
    wish: Wish,
    progress: Progress = silent,
    ground: Ground = Ground(),
) -> T:
    """Of an open bundle. What does not open is closed, and replaced by ONNX Runtime where nobody asked for it by name."""
    choice = chosen(bundle, wish, ground, progress)
    try:
        return made(make, bundle, choice)
    except MachineFault as fault:
        if wish.engine != AUTO or choice.backend.name == CPU.engine or "ort" not in bundle.manifest.dialects:
            raise
        why = f"{choice.backend.name}: {told(fault)}"
        return made(make, bundle, Choice(OrtBackend(bundle, provider=CPU), wish.max_context, why))


def made(make: Callable[[Bundle, Choice], T], bundle: Bundle, choice: Choice) -> T:
    try:
        return make(bundle, choice)
    except BaseException:
        choice.backend.close()
        raise
