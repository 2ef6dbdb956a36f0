"""What the API's description says of a route beyond its path and method."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

SCHEMAS = "#/components/schemas/{model}"


class ErrorDetail(BaseModel):
    """`message` says what happened, why, and what to do. `code` never changes."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(BaseModel):
    error: ErrorDetail


ERRORS = {
    400: "The request cannot be answered as it stands; `param` names the field. Not to be repeated.",
    401: "A key is missing or wrong.",
    403: "The page that sent this may not.",
    404: "There is no such model, or nothing at this path.",
    408: "The request did not arrive in time.",
    413: "The request is too large.",
    415: "The body is not `application/json` in UTF-8.",
    421: "The server is not called by the name in the header Host.",
    429: "Too much is asked at once: again after `Retry-After` seconds.",
    500: "A fault of the server.",
    503: "The engine is starting, restarting or stopping: again after `Retry-After` seconds.",
}
STREAM = (
    "With `stream`, server-sent events: chunks, and `[DONE]` at the end. Nothing is sent before the first chunk is there,"
    " so that an error has its status; where that takes longer than the keep-alive interval the stream begins with"
    " comments instead, and an error becomes an event with `error` in it."
)
# One of a stream's: what readers of these streams make of its lines.
EVENT = {
    "type": "object",
    "properties": {"event": {"type": "string"}, "data": {"type": "string"}},
    "required": ["data"],
}


def described(
    form: type[BaseModel] | None, answer: type[BaseModel], is_stream: bool = False
) -> dict[str, Any]:
    """Arguments of a route. Forms are named, not handed over: FastAPI would make a validator of each, for every route."""
    content = content_of(answer)
    if is_stream:
        content["text/event-stream"] = {"schema": EVENT}
    told: dict[int, dict[str, Any]] = {
        200: {"description": STREAM if is_stream else "The answer.", "content": content}
    }
    for status, text in ERRORS.items():
        told[status] = {"description": text, "content": content_of(ErrorBody)}
    extra: dict[str, Any] = {}
    if form is not None:
        extra["openapi_extra"] = {"requestBody": {"required": True, "content": content_of(form)}}
    return {"response_model": None, "responses": told, **extra}


def content_of(form: type[BaseModel]) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": SCHEMAS.format(model=form.__name__)}}}
