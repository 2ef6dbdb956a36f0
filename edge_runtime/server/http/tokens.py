"""POST /tokenize and /detokenize."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field, RootModel
from starlette.responses import JSONResponse, Response
from starlette.types import Send

from edge_runtime.server.asked import Prompt
from edge_runtime.server.http.asking import text_tokens
from edge_runtime.server.http.body import document_of
from edge_runtime.server.http.chat_form import Messages
from edge_runtime.server.http.checked import checked
from edge_runtime.server.http.completion_form import TokenId
from edge_runtime.server.http.conversation import conversation_of
from edge_runtime.server.http.described import described
from edge_runtime.server.http.fields import MOST_TOKENS, Form, No, Yes
from edge_runtime.server.http.gate import checked_gate
from edge_runtime.server.http.length import check_length
from edge_runtime.server.http.parts import AppParts
from edge_runtime.server.http.presence import Attended

ModelName = Annotated[str, Field(min_length=1, max_length=256)]


class TokenizeFields(Form):
    model: ModelName | None = None
    add_special_tokens: Yes | None = None
    return_token_strs: No | None = None


class TextToTokenize(TokenizeFields):
    prompt: str = Field(description="As /v1/completions takes it.")
    messages: None = None


class ChatToTokenize(TokenizeFields):
    messages: Messages = Field(description="As /v1/chat/completions takes them; images are only counted.")
    prompt: None = None


class TokenizeForm(RootModel[TextToTokenize | ChatToTokenize]):
    """One of `prompt` and `messages`."""


class Tokenized(BaseModel):
    """`count` includes the tokens of images."""

    count: int
    max_model_len: int
    tokens: list[int]


class DetokenizeForm(Form):
    model: ModelName | None = None
    tokens: Annotated[list[TokenId], Field(max_length=MOST_TOKENS, fail_fast=True)]


class Detokenized(BaseModel):
    prompt: str


def tokens_router(parts: AppParts) -> APIRouter:
    router = APIRouter(tags=["tokens"])

    @router.post("/tokenize", **described(TokenizeForm, Tokenized))
    async def tokenize(request: Request) -> Response:
        """The tokens of a text, or of a conversation, its images' among them."""
        document = await document_of(request)
        facts = checked_gate(parts.engine, document)
        form = checked(TokenizeForm, document).root
        prompt = prompt_of(form)
        check_length(prompt, facts)
        parts.meter.ignored_fields(form.ignored_fields)

        async def tokenized() -> Tokenized:
            ids = list(await parts.engine.ids_of(prompt))
            return Tokenized(count=len(ids), max_model_len=facts.max_context, tokens=ids)

        return answered(parts, request, text_tokens(prompt), tokenized)

    @router.post("/detokenize", **described(DetokenizeForm, Detokenized))
    async def detokenize(request: Request) -> Response:
        """The text of tokens."""
        document = await document_of(request)
        checked_gate(parts.engine, document)
        form = checked(DetokenizeForm, document)
        parts.meter.ignored_fields(form.ignored_fields)

        async def detokenized() -> Detokenized:
            return Detokenized(prompt=await parts.engine.text_of(form.tokens))

        return answered(parts, request, len(form.tokens), detokenized)

    return router


def answered(
    parts: AppParts, request: Request, tokens: int, work: Callable[[], Coroutine[Any, Any, BaseModel]]
) -> Response:
    """For whoever is still there."""

    async def answer(send: Send) -> None:
        told = await parts.errands.run(tokens, work)
        await JSONResponse(told.model_dump())(request.scope, request.receive, send)

    return Attended(answer)


def prompt_of(form: TextToTokenize | ChatToTokenize) -> Prompt:
    if isinstance(form, TextToTokenize):
        return Prompt(raw=form.prompt)
    return conversation_of(form.messages).prompt
