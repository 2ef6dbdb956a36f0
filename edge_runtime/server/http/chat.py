"""POST /v1/chat/completions."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from edge_runtime.server.http.asking import Inquiry
from edge_runtime.server.http.body import document_of
from edge_runtime.server.http.chat_answer import ChatCompletion, ChatTelling
from edge_runtime.server.http.chat_form import ChatForm
from edge_runtime.server.http.checked import checked
from edge_runtime.server.http.conversation import conversation_of
from edge_runtime.server.http.described import described
from edge_runtime.server.http.gate import checked_gate
from edge_runtime.server.http.head import client_of, head_of
from edge_runtime.server.http.parts import AppParts
from edge_runtime.server.http.question import alone, question_of, several
from edge_runtime.server.http.telling import response_to


def chat_router(parts: AppParts) -> APIRouter:
    router = APIRouter(tags=["answers"])

    @router.post("/v1/chat/completions", **described(ChatForm, ChatCompletion, is_stream=True))
    async def chat(request: Request) -> Response:
        """Answers to a conversation, which may show images. Unless `temperature` says otherwise the likeliest token is
        taken every time. Fields that are not known are accepted and ignored."""
        document = await document_of(request)
        facts = checked_gate(parts.engine, document)
        form = checked(ChatForm, document)
        inquiry = inquiry_of(form, client_of(request))
        parts.meter.ignored_fields(form.ignored_fields)
        head = head_of(request, "chatcmpl", facts, parts.clock())
        telling = ChatTelling(head, form.answers, bool(form.logprobs), form.has_usage)
        return response_to(parts, request, inquiry, telling, bool(form.stream))

    return router


def inquiry_of(form: ChatForm, client: str) -> Inquiry:
    if form.top_logprobs is not None and not form.logprobs:
        raise alone("top_logprobs", "logprobs is not true", "set logprobs to true, or leave top_logprobs out")
    conversation = conversation_of(form.messages)
    logprobs = form.top_logprobs or 0 if form.logprobs else None
    asked = question_of(form, conversation.prompt, form.most_tokens, logprobs, client)
    return Inquiry(several(asked, form.answers), conversation.urls)
