"""The HTTP app: every route, and what becomes of what goes wrong."""

from __future__ import annotations

from functools import cache

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response

from edge_runtime.errors import EdgeVLError
from edge_runtime.server.http.chat import chat_router
from edge_runtime.server.http.completions import completions_router
from edge_runtime.server.http.errors import Fault, fault_of, fault_of_status
from edge_runtime.server.http.health import health_router
from edge_runtime.server.http.metrics import metrics_router
from edge_runtime.server.http.models import models_router
from edge_runtime.server.http.openapi import Described, description_of
from edge_runtime.server.http.page import page_router
from edge_runtime.server.http.parts import AppParts
from edge_runtime.server.http.responses import responses_router
from edge_runtime.server.http.telling import ASKED, ASKED_IN
from edge_runtime.server.http.tokens import tokens_router
from edge_runtime.server.logs import note
from edge_runtime.version import VERSION

__all__ = ["AppParts", "make_app"]

ABOUT = (
    "Questions about pictures, answered on this machine. The API is OpenAI's for what is supported; what is not is"
    " refused by the field's name, and fields that nobody knows are ignored."
)
REASONS = {429: "queue_full", 503: "restarting"}
CLIENT_GONE = 499  # nobody reads it


def make_app(parts: AppParts) -> FastAPI:
    app = FastAPI(
        title="edge-vl",
        version=VERSION,
        description=ABOUT,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.include_router(chat_router(parts))
    app.include_router(completions_router(parts))
    app.include_router(responses_router(parts))
    app.include_router(models_router(parts))
    app.include_router(tokens_router(parts))
    app.include_router(health_router(parts.engine, parts.drain, parts.stuck_after_s))
    app.include_router(metrics_router(parts.meter, parts.engine, parts.metrics_compat))
    app.include_router(page_router(parts.kiosk))
    add_description(app)
    add_error_handlers(app, parts)
    return app


def add_description(app: FastAPI) -> None:
    @cache
    def told() -> Described:
        return description_of(app)

    @app.get("/openapi.json", include_in_schema=False)
    async def openapi() -> Response:
        return JSONResponse(told())


def add_error_handlers(app: FastAPI, parts: AppParts) -> None:
    @app.exception_handler(EdgeVLError)
    async def of_ours(request: Request, error: EdgeVLError) -> Response:
        fault = fault_of(error, parts.admission.retry_after_s, request.scope.get(ASKED_IN))
        note(request.scope, code=fault.code)
        if ASKED not in request.scope:
            parts.meter.rejected(reason_of(fault))
        return response_of(fault)

    @app.exception_handler(HTTPException)
    async def of_routes(_request: Request, error: HTTPException) -> Response:
        return response_of(fault_of_status(error.status_code), dict(error.headers or {}))

    @app.exception_handler(RequestValidationError)
    async def of_forms(_request: Request, _error: RequestValidationError) -> Response:
        return response_of(fault_of_status(400))

    @app.exception_handler(ClientDisconnect)
    async def of_nobody(_request: Request, _error: ClientDisconnect) -> Response:
        return Response(status_code=CLIENT_GONE)

    @app.exception_handler(Exception)
    async def of_nobody_knows(_request: Request, error: Exception) -> Response:
        return response_of(fault_of(error))


def response_of(fault: Fault, headers: dict[str, str] | None = None) -> Response:
    return Response(
        fault.data,
        status_code=fault.status,
        headers={**fault.headers, **(headers or {})},
        media_type="application/json",
    )


def reason_of(fault: Fault) -> str:
    """As the meter names what was turned away."""
    return REASONS.get(fault.status, "bad_request" if fault.status < 500 else "fault")
