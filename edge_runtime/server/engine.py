"""The engine as the front end sees it, whatever process it lives in."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Literal, Protocol

from edge_runtime.server.asked import Asked, Prompt
from edge_runtime.server.said import Event

Condition = Literal["starting", "ready", "restarting", "failed"]


@dataclass(frozen=True)
class EngineFacts:
    """What never changes while a worker lives."""

    model: str  # the bundle's name
    bundle_hash: str  # sha256 of the manifest, hex
    engine: str
    engine_reason: str
    precision: Mapping[str, str]  # of every role
    max_context: int
    image_tokens: int  # that one picture takes
    slots: int
    memory_mib: float  # what the worker holds after opening


@dataclass(frozen=True)
class EngineState:
    """What changes all the time; told by the worker several times a second while it works."""

    running: int = 0
    waiting: int = 0
    cache_share: float = 0.0  # of the KV cache's rows that hold something, 0 to 1
    said: int = 0  # tokens, since the worker began
    last_token_age_s: float | None = (
        None  # while it works: since a token or a piece of a prompt was done; None: idle
    )
    prompt_tokens: int = 0  # read, since the worker began
    cached_tokens: int = 0  # of those that were found in the cache
    pictures: int = 0  # shown, since the worker began
    known_pictures: int = 0  # of those that were encoded before
    drafted: int = 0  # tokens that were guessed, since the worker began
    accepted: int = 0  # of those that were right


@dataclass(frozen=True)
class Health:
    """`condition` ready means that questions are answered; `why` says what is wrong otherwise, for people, without paths."""

    condition: Condition
    why: str = ""
    restarts: int = 0
    degraded: tuple[str, ...] = field(default_factory=tuple)  # e.g. engines that were passed over, in words


class Engine(Protocol):
    """Faults are raised as EdgeVLError: of the question's own (EVL-CONTEXT-OVERFLOW, EVL-IMAGE-..., EVL-SAMPLING-..., all of
    them the asker's to mend), MachineFault EVL-ENGINE-RESTARTING where the worker went away or is not there yet, EVL-LOOP-FULL
    where too much waits, MachineFault with any other code where the engine itself failed."""

    @property
    def facts(self) -> EngineFacts | None:
        """None until a worker was ready for the first time."""

    @property
    def state(self) -> EngineState: ...

    @property
    def health(self) -> Health: ...

    def ask(self, asked: Asked) -> AbstractAsyncContextManager[AsyncIterator[Event]]:
        """Pieces, then one Done. Leaving the context early cancels the question."""

    async def ids_of(self, prompt: Prompt) -> Sequence[int]:
        """The prompt's tokens, image tokens among them."""

    async def text_of(self, ids: Sequence[int]) -> str: ...
