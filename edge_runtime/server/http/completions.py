"""POST /v1/completions."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from edge_runtime.server.asked import Prompt
from edge_runtime.server.http.asking import Inquiry
from edge_runtime.server.http.body import document_of
from edge_runtime.server.http.checked import checked
from edge_runtime.server.http.completion_answer import Completion, CompletionTelling
from edge_runtime.server.http.completion_form import USUAL_TOKENS, CompletionForm
from edge_runtime.server.http.described import described
from edge_runtime.server.http.fields import MOST_ANSWERS
from edge_runtime.server.http.gate import checked_gate
from edge_runtime.server.http.head import client_of, head_of
from edge_runtime.server.http.parts import AppParts
from edge_runtime.server.http.question import alone, question_of, several
from edge_runtime.server.http.telling import response_to


def completions_router(parts: AppParts) -> APIRouter:
    router = APIRouter(tags=["answers"])

    @router.post("/v1/completions", **described(CompletionForm, Completion, is_stream=True))
    async def completions(request: Request) -> Response:
        """What follows a text. Images are for /v1/chat/completions."""
        document = await document_of(request)
        facts = checked_gate(parts.engine, document)
        form = checked(CompletionForm, document)
        inquiry = inquiry_of(form, client_of(request))
        parts.meter.ignored_fields(form.ignored_fields)
        head = head_of(request, "cmpl", facts, parts.clock())
        telling = CompletionTelling(head, form.answers, form.logprobs is not None, form.has_usage)
        return response_to(parts, request, inquiry, telling, bool(form.stream))

    return router


def inquiry_of(form: CompletionForm, client: str) -> Inquiry:
    prompts = form.prompts
    if len(prompts) * form.answers > MOST_ANSWERS:
        why = f"{len(prompts)} prompts of {form.answers} answers each are more than {MOST_ANSWERS}"
        raise alone("n", why, "ask for fewer at once")
    most = USUAL_TOKENS if form.max_tokens is None else form.max_tokens
    asks = [question_of(form, Prompt(raw=prompt), most, form.logprobs, client) for prompt in prompts]
    return Inquiry(tuple(each for asked in asks for each in several(asked, form.answers)))
