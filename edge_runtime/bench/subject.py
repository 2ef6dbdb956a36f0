"""A bundle opened part by part, each part timed; then the thing that is measured."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from edge_runtime.backends.backend import Backend, DecoderGraph
from edge_runtime.bundle import Bundle, check_hashes, readable
from edge_runtime.choice import Choice, Wish
from edge_runtime.loading import made_on_chosen
from edge_runtime.progress import Progress
from edge_runtime.prompt import PromptFormat
from edge_runtime.table import Table
from edge_runtime.tokenizer import Tokenizer

Clock = Callable[[], float]


@dataclass(frozen=True)
class LoadRun:
    """Milliseconds of one load. `hashing_ms` is None where the bundle was trusted."""

    hashing_ms: float | None
    structure_ms: float
    tokenizer_ms: float
    sessions_ms: float

    @property
    def total_ms(self) -> float:
        return (self.hashing_ms or 0.0) + self.structure_ms + self.tokenizer_ms + self.sessions_ms


@dataclass(frozen=True)
class Subject:
    """All that an answer needs, open. One decoder serves every run: its buffers are those of a long life."""

    bundle: Bundle
    backend: Backend
    decoder: DecoderGraph
    table: Table
    format: PromptFormat

    def close(self) -> None:
        self.backend.close()


class Lap:
    """Milliseconds since the lap before."""

    def __init__(self, clock: Clock = time.perf_counter) -> None:
        self._clock = clock
        self._last = clock()

    def ms(self) -> float:
        now = self._clock()
        spent, self._last = now - self._last, now
        return spent * 1000


def opened_subject(
    path: Path, wish: Wish, progress: Progress, clock: Clock = time.perf_counter
) -> tuple[Subject, LoadRun]:
    """The same work as `edge_runtime.loading.load`, in an order that lets hashing be told apart."""
    lap = Lap(clock)
    bundle = Bundle.open(path, is_trusted=True)
    structure_ms, hashing_ms = lap.ms(), None
    if not wish.is_trusted:
        with readable(str(path)):
            check_hashes(bundle.folder, bundle.manifest, progress)
        hashing_ms = lap.ms()
    tokenizer = Tokenizer.open(bundle.tokenizer_path)
    prompts = PromptFormat(tokenizer, bundle.spec.prompt, bundle.spec.image_tokens)
    tokenizer_ms = lap.ms()
    subject = made_on_chosen(partial(subject_of, prompts=prompts), bundle, wish, progress)
    return subject, LoadRun(hashing_ms, structure_ms, tokenizer_ms, lap.ms())


def subject_of(bundle: Bundle, choice: Choice, prompts: PromptFormat) -> Subject:
    backend, capacity = choice.backend, choice.max_context or bundle.manifest.max_context
    for role in bundle.spec.roles:
        if role not in ("embed", "decoder"):
            backend.graph(role)
    decoder = backend.decoder(batch=1, capacity=capacity)
    return Subject(bundle, backend, decoder, bundle.embedding(), prompts)
