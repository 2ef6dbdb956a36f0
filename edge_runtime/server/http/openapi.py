"""GET /openapi.json: the API's description."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from edge_runtime.server.http.chat_answer import ChatCompletion
from edge_runtime.server.http.chat_form import ChatForm
from edge_runtime.server.http.completion_answer import Completion
from edge_runtime.server.http.completion_form import CompletionForm
from edge_runtime.server.http.described import SCHEMAS, ErrorBody
from edge_runtime.server.http.models import ModelList
from edge_runtime.server.http.responses_answer import ModelResponse
from edge_runtime.server.http.responses_form import ResponseForm
from edge_runtime.server.http.tokens import Detokenized, DetokenizeForm, Tokenized, TokenizeForm

Described = dict[str, Any]
ASKED = (ChatForm, CompletionForm, ResponseForm, TokenizeForm, DetokenizeForm)
ANSWERED = (ErrorBody, ChatCompletion, Completion, ModelResponse, ModelList, Tokenized, Detokenized)
NOT_OURS = ("HTTPValidationError", "ValidationError")  # bodies are checked by ourselves


def description_of(app: FastAPI) -> Described:
    told = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    for operations in told["paths"].values():
        for operation in operations.values():
            operation.get("responses", {}).pop("422", None)
    known = told.setdefault("components", {}).setdefault("schemas", {})
    for name in NOT_OURS:
        known.pop(name, None)
    known |= schemas()
    return told


def schemas() -> Described:
    """By the names that `described` gives them."""
    asked: list[tuple[type[BaseModel], JsonSchemaMode]] = [(form, "validation") for form in ASKED]
    answered: list[tuple[type[BaseModel], JsonSchemaMode]] = [(form, "serialization") for form in ANSWERED]
    _, told = models_json_schema([*asked, *answered], ref_template=SCHEMAS)
    found: Described = told["$defs"]
    return found
