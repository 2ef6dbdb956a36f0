"""Whether the front end lives, whether questions are answered, and what is wrong otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Protocol

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from edge_runtime.server.engine import Condition, Engine, EngineState, Health
from edge_runtime.server.http.errors import OF_MACHINE

STUCK_AFTER_S = 60.0
Readiness = Literal[Condition, "draining"]
READY, STUCK = "ready", "stuck"
WHY = {
    READY: "",
    "starting": "the engine is being opened",
    "restarting": "the engine ended and is being opened anew",
    "failed": "the engine cannot be opened",
    "draining": "the server is about to end",
    STUCK: "the engine works on something and does not get on with it",
}
RETRY_AFTER_S = {"starting": 5, "restarting": 5, "draining": 5, STUCK: 10, "failed": 60}
NO_STORE = {"Cache-Control": "no-store"}


class Draining(Protocol):
    @property
    def is_draining(self) -> bool: ...


class LiveState(BaseModel):
    status: Literal["live"] = "live"


class ReadyState(BaseModel):
    """`why` is one of a few sentences, empty when ready: this is answered to everybody."""

    status: Readiness
    why: str


class HealthState(BaseModel):
    """`last_token_age_s` is there while the engine works. `stuck` means that it grew beyond a limit."""

    status: Literal[Readiness, "stuck"]
    why: str
    model: str | None
    engine: str | None
    engine_reason: str | None
    precision: Mapping[str, str] | None
    restarts: int
    degraded: list[str]
    running: int
    waiting: int
    last_token_age_s: float | None


class Observed:
    """What the engine and the end of the server come to, in one word."""

    def __init__(self, engine: Engine, drain: Draining, stuck_after_s: float) -> None:
        self._engine = engine
        self._drain = drain
        self._stuck_after_s = stuck_after_s

    def ready(self) -> ReadyState:
        status: Readiness = "draining" if self._drain.is_draining else self._engine.health.condition
        return ReadyState(status=status, why=WHY[status])

    def all(self) -> HealthState:
        health, facts = self._engine.health, self._engine.facts
        # What is not there does nothing, whatever it last said of itself.
        state = self._engine.state if health.condition == READY else EngineState()
        status = self._status(state)
        return HealthState(
            status=status,
            why=self._why(status, health),
            model=facts.model if facts else None,
            engine=facts.engine if facts else None,
            engine_reason=without_places(facts.engine_reason) if facts else None,
            precision=facts.precision if facts else None,
            restarts=health.restarts,
            degraded=[without_places(each) for each in health.degraded],
            running=state.running,
            waiting=state.waiting,
            last_token_age_s=state.last_token_age_s,
        )

    def _status(self, state: EngineState) -> Literal[Readiness, "stuck"]:
        ready = self.ready().status
        age = state.last_token_age_s
        is_stuck = ready == READY and age is not None and age > self._stuck_after_s
        return "stuck" if is_stuck else ready

    def _why(self, status: str, health: Health) -> str:
        return without_places(health.why) if health.why and status == health.condition else WHY[status]


def without_places(text: str) -> str:
    """Neither folders nor addresses of this machine."""
    return OF_MACHINE.sub("…", text)


def answered(state: LiveState | ReadyState | HealthState) -> JSONResponse:
    is_well = state.status in ("live", READY)
    retry = {} if is_well else {"Retry-After": str(RETRY_AFTER_S[state.status])}
    return JSONResponse(state.model_dump(), status_code=200 if is_well else 503, headers=NO_STORE | retry)


def health_router(engine: Engine, drain: Draining, stuck_after_s: float = STUCK_AFTER_S) -> APIRouter:
    """`/health/live` and `/health/ready` are fit for everybody, `/health` for whoever has a key. `stuck_after_s` should be
    less than what an engine that hangs is given before it is ended."""
    router = APIRouter(tags=["operation"])
    observed = Observed(engine, drain, stuck_after_s)
    retry = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}}

    @router.head("/health/live", include_in_schema=False)
    @router.get("/health/live", summary="Whether the front end lives", response_model=LiveState)
    async def live() -> JSONResponse:
        return answered(LiveState())

    @router.head("/health/ready", include_in_schema=False)
    @router.get(
        "/health/ready",
        summary="Whether questions are answered",
        response_model=ReadyState,
        responses={503: {"model": ReadyState, "description": "Not now.", "headers": retry}},
    )
    async def ready() -> JSONResponse:
        return answered(observed.ready())

    @router.head("/health", include_in_schema=False)
    @router.get(
        "/health",
        summary="The same, and what is known of the engine",
        response_model=HealthState,
        responses={503: {"model": HealthState, "description": "Not now.", "headers": retry}},
    )
    async def health() -> JSONResponse:
        return answered(observed.all())

    return router
