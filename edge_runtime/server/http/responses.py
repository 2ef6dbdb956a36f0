"""POST /v1/responses: a conversation in a newer form, of which nothing is kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import APIRouter, Request
from starlette.responses import Response

from edge_runtime.server.asked import Asked
from edge_runtime.server.http.asking import Inquiry
from edge_runtime.server.http.body import Document, document_of
from edge_runtime.server.http.chat import inquiry_of
from edge_runtime.server.http.chat_form import ChatForm
from edge_runtime.server.http.checked import checked
from edge_runtime.server.http.described import described
from edge_runtime.server.http.errors import RequestError
from edge_runtime.server.http.gate import checked_gate
from edge_runtime.server.http.head import client_of, head_of
from edge_runtime.server.http.parts import AppParts
from edge_runtime.server.http.responses_answer import ModelResponse, ResponseTelling
from edge_runtime.server.http.responses_form import (
    InputImage,
    InputText,
    OutputText,
    ResponseForm,
    SchemaText,
)
from edge_runtime.server.http.telling import Told, response_to

Content = str | list[InputText] | list[InputText | InputImage] | list[OutputText]


def responses_router(parts: AppParts) -> APIRouter:
    router = APIRouter(tags=["answers"])

    @router.post("/v1/responses", **described(ResponseForm, ModelResponse, is_stream=True))
    async def responses(request: Request) -> Response:
        """An answer to a conversation, which is sent whole each time."""
        document = await document_of(request)
        facts = checked_gate(parts.engine, document)
        form = checked(ResponseForm, document)
        with told_of_input():
            inquiry = inquiry_of(checked(ChatForm, chat_document(form)), client_of(request))
        parts.meter.ignored_fields(form.ignored_fields)
        head = head_of(request, "resp", facts, parts.clock())
        telling = ResponseTelling(response_head(form, head, inquiry), f"msg-{head['id']}")
        return response_to(parts, request, inquiry, telling, bool(form.stream))

    return router


@contextmanager
def told_of_input() -> Iterator[None]:
    """What is wrong with the messages is told of the field they came in."""
    try:
        yield
    except RequestError as error:
        if error.param == "messages":
            error.param = "input"
        raise


def chat_document(form: ResponseForm) -> Document:
    """The same as /v1/chat/completions has it."""
    spoken = [{"role": "user", "content": form.input}] if isinstance(form.input, str) else messages_of(form)
    system = [] if form.instructions is None else [{"role": "system", "content": form.instructions}]
    if system and spoken[0]["role"] in ("system", "developer"):
        parts = spoken[0]["content"]
        texts = [parts] if isinstance(parts, str) else [part["text"] for part in parts]
        system, spoken = (
            [{"role": "system", "content": "\n".join([form.instructions or "", *texts])}],
            spoken[1:],
        )
    told: Document = {
        "model": form.model,
        "messages": [*system, *spoken],
        "max_tokens": form.max_output_tokens,
        "temperature": form.temperature,
        "top_p": form.top_p,
    }
    return told | format_of(form)


def messages_of(form: ResponseForm) -> list[Document]:
    assert not isinstance(form.input, str)
    return [{"role": each.role, "content": content_of(each.content)} for each in form.input]


def content_of(content: Content) -> str | list[Document]:
    if isinstance(content, str):
        return content
    return [part_of(part) for part in content]


def part_of(part: InputText | InputImage | OutputText) -> Document:
    if isinstance(part, InputImage):
        return {"type": "image_url", "image_url": {"url": part.image_url}}
    return {"type": "text", "text": part.text}


def format_of(form: ResponseForm) -> Document:
    if form.text is None or (wanted := form.text.format) is None:
        return {}
    if isinstance(wanted, SchemaText):
        return {"response_format": {"type": wanted.type, "json_schema": {"schema": wanted.document}}}
    return {"response_format": {"type": wanted.type}}


def response_head(form: ResponseForm, head: Told, inquiry: Inquiry) -> Told:
    asked: Asked = inquiry.asks[0]
    return {
        "id": head["id"],
        "object": "response",
        "created_at": head["created"],
        "model": head["model"],
        "error": None,
        "instructions": form.instructions,
        "max_output_tokens": form.max_output_tokens,
        "temperature": asked.sampled.temperature,
        "top_p": asked.sampled.top_p,
        "metadata": {},
        "parallel_tool_calls": False,
        "tool_choice": "none",
        "tools": [],
        "previous_response_id": None,
        "store": False,
    }
