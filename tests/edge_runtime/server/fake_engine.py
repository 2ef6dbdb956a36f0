"""An engine that says what it is told to, as fast or slowly as it is told to, and remembers what it was asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from edge_runtime.errors import EdgeVLError
from edge_runtime.server.asked import Asked, Prompt
from edge_runtime.server.engine import EngineFacts, EngineState, Health
from edge_runtime.server.said import Done, Event, Piece

IMAGE_TOKENS = 4
FACTS = EngineFacts(
    model="fake-vl",
    bundle_hash="ab" * 32,
    engine="fake",
    engine_reason="there is no other",
    precision={"decoder": "fp32"},
    max_context=256,
    image_tokens=IMAGE_TOKENS,
    slots=2,
    memory_mib=12.5,
)
TIMINGS = {
    "decode_image": 1.0,
    "preprocess": 1.0,
    "vision": 2.0,
    "prefill": 3.0,
    "decode": 4.0,
    "total": 11.0,
}


class FakeEngine:
    """A byte is a token. `gate` holds every answer before its `gated`th piece until it is opened; `fault` is raised
    there instead of going on. `asked` are the questions, `left` those whose asker went away before the end."""

    def __init__(self, texts: Sequence[str] = ("It ", "is ", "red.")) -> None:
        self.texts = tuple(texts)
        self.facts: EngineFacts | None = FACTS
        self.state = EngineState()
        self.health = Health("ready")
        self.asked: list[Asked] = []
        self.left: list[Asked] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.gated = 0
        self.fault: EdgeVLError | None = None

    @asynccontextmanager
    async def ask(self, asked: Asked) -> AsyncIterator[AsyncIterator[Event]]:
        self.asked.append(asked)
        events = self._events(asked)
        is_over = False

        async def told() -> AsyncIterator[Event]:
            nonlocal is_over
            async for event in events:
                is_over = isinstance(event, Done)
                yield event

        try:
            yield told()
        finally:
            if not is_over:
                self.left.append(asked)

    async def _events(self, asked: Asked) -> AsyncIterator[Event]:
        for number, text in enumerate(self.texts):
            if number == self.gated:
                await self.gate.wait()
                if self.fault is not None:
                    raise self.fault
            yield Piece(text)
        yield Done(
            finish_reason="stop",
            prompt_tokens=len(await self.ids_of(asked.prompt)),
            image_tokens=IMAGE_TOKENS * len(asked.pictures),
            cached_tokens=0,
            completion_tokens=len(self.texts),
            timings_ms=TIMINGS,
            tokens_per_s=10.0,
        )

    async def ids_of(self, prompt: Prompt) -> Sequence[int]:
        if isinstance(prompt.raw, tuple):
            return prompt.raw
        texts = [prompt.raw] if prompt.raw is not None else [turn.text for turn in prompt.turns]
        return [*"".join(texts).encode(), *[256] * (IMAGE_TOKENS * prompt.image_count)]

    async def text_of(self, ids: Sequence[int]) -> str:
        return bytes(ids).decode(errors="replace")
