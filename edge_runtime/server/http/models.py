"""GET /v1/models: the one model there is."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel
from starlette.responses import JSONResponse, Response

from edge_runtime.server.engine import EngineFacts
from edge_runtime.server.http.described import described
from edge_runtime.server.http.gate import facts_of, unknown_model
from edge_runtime.server.http.parts import AppParts

CAPABILITIES = ["chat", "completion", "vision", "json_schema", "logprobs"]


class Model(BaseModel):
    """`engine_hash` is of what is served: the manifest, which names every file of it."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    max_model_len: int
    capabilities: list[str]
    engine: str
    engine_hash: str
    precision: dict[str, str]


class ModelList(BaseModel):
    object: Literal["list"]
    data: list[Model]


def models_router(parts: AppParts) -> APIRouter:
    router = APIRouter(tags=["models"])
    created = int(parts.clock())

    @router.get("/v1/models", **described(None, ModelList))
    async def models() -> Response:
        """What can be asked."""
        found = ModelList(object="list", data=[model_of(facts_of(parts.engine), created)])
        return JSONResponse(found.model_dump())

    @router.get("/v1/models/{model_id:path}", **described(None, Model))
    async def model(model_id: str) -> Response:
        """One model, by its name."""
        facts = facts_of(parts.engine)
        if model_id != facts.model:
            raise unknown_model(facts)
        return JSONResponse(model_of(facts, created).model_dump())

    return router


def model_of(facts: EngineFacts, created: int) -> Model:
    return Model(
        id=facts.model,
        object="model",
        created=created,
        owned_by="edge-vl",
        max_model_len=facts.max_context,
        capabilities=CAPABILITIES,
        engine=facts.engine,
        engine_hash=facts.bundle_hash,
        precision=dict(facts.precision),
    )
