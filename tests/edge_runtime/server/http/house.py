"""An app with a fake engine behind it, and questions to ask of it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from fastapi import FastAPI

from edge_runtime.errors import EdgeVLError
from edge_runtime.server.admission import Admission
from edge_runtime.server.http.app import AppParts, make_app
from edge_runtime.server.meter import Meter
from tests.edge_runtime.server.fake_engine import FakeEngine
from tests.edge_runtime.server.http.asgi import Asker, Reply, call

NOW_S = 1_700_000_000.0
DATA_URL = "data:image/png;base64,AAAA"
CHAT, COMPLETIONS, RESPONSES = "/v1/chat/completions", "/v1/completions", "/v1/responses"


class FakeImages:
    """A picture's bytes are its address."""

    def __init__(self) -> None:
        self.fault: EdgeVLError | None = None

    async def files(self, urls: Sequence[str]) -> tuple[bytes, ...]:
        if self.fault is not None:
            raise self.fault
        return tuple(url.encode() for url in urls)


@dataclass
class FakeDrain:
    is_draining: bool = False


@dataclass
class House:
    engine: FakeEngine = field(default_factory=FakeEngine)
    images: FakeImages = field(default_factory=FakeImages)
    admission: Admission = field(default_factory=lambda: Admission(slots=2, waiting=6, tokens=10_000))
    meter: Meter = field(default_factory=Meter)
    drain: FakeDrain = field(default_factory=FakeDrain)
    keep_alive_s: float = 10.0

    def __post_init__(self) -> None:
        self.app: FastAPI = make_app(
            AppParts(
                engine=self.engine,
                meter=self.meter,
                images=self.images,
                admission=self.admission,
                drain=self.drain,
                clock=lambda: NOW_S,
                keep_alive_s=self.keep_alive_s,
            )
        )

    async def post(
        self,
        path: str,
        body: object,
        headers: Mapping[str, str] | None = None,
        asker: Asker | None = None,
        state: Mapping[str, object] | None = None,
    ) -> Reply:
        return await call(self.app, "POST", path, body, headers or {}, asker, state)

    def counted(self, name: str, **labels: str) -> float:
        return self.meter.registry.get_sample_value(name, labels) or 0.0


def posted(path: str, body: object, house: House | None = None) -> Reply:
    """One request to a house of its own."""

    async def post() -> Reply:
        return await (house or House()).post(path, body)

    return asyncio.run(post())


def got(path: str, house: House | None = None) -> Reply:
    async def get() -> Reply:
        return await call((house or House()).app, "GET", path)

    return asyncio.run(get())


def chat(content: object = "What is it?", **fields: object) -> dict[str, object]:
    return {"model": "fake-vl", "messages": [{"role": "user", "content": content}], **fields}


def completion(prompt: object = "One, two,", **fields: object) -> dict[str, object]:
    return {"model": "fake-vl", "prompt": prompt, **fields}


def response(input_: object = "What is it?", **fields: object) -> dict[str, object]:
    return {"model": "fake-vl", "input": input_, **fields}


def picture_part(url: object = DATA_URL, **more: object) -> dict[str, object]:
    return {"type": "image_url", "image_url": {"url": url, **more}}


def text_part(text: str) -> dict[str, object]:
    return {"type": "text", "text": text}
