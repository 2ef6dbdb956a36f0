"""The body of /v1/completions."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from edge_runtime.server.http.fields import MOST_ANSWERS, MOST_TOKENS, WHOLE, AnswerFields, No, TokenCount

USUAL_TOKENS = 16  # OpenAI's
MOST_COMPLETION_LOGPROBS = 5
LARGEST_ID = (1 << 32) - 1

TokenId = Annotated[int, Field(ge=0, le=LARGEST_ID), WHOLE]
Ids = Annotated[list[TokenId], Field(min_length=1, max_length=MOST_TOKENS, fail_fast=True)]
Texts = Annotated[list[str], Field(min_length=1, max_length=MOST_ANSWERS, fail_fast=True)]
IdLists = Annotated[list[Ids], Field(min_length=1, max_length=MOST_ANSWERS, fail_fast=True)]


class CompletionForm(AnswerFields):
    prompt: str | Texts | Ids | IdLists = Field(
        description="A text as it stands behind the beginning token, control tokens in it included, or all token ids."
        f" Several prompts are answered side by side, {MOST_ANSWERS} answers in all."
    )
    max_tokens: TokenCount | None = Field(None, description=f"Left out: {USUAL_TOKENS}.")
    logprobs: Annotated[int, Field(ge=0, le=MOST_COMPLETION_LOGPROBS), WHOLE] | None = None
    # What OpenAI has and this server has not.
    best_of: Annotated[int, Field(ge=1, le=1), WHOLE] | None = Field(
        None, description="Not supported: 1 or nothing."
    )
    echo: No | None = Field(None, description="Not supported: false or nothing.")
    suffix: Annotated[str, Field(max_length=0)] | None = Field(None, description="Not supported.")

    @property
    def prompts(self) -> list[str | tuple[int, ...]]:
        prompt = self.prompt
        if isinstance(prompt, str):
            return [prompt]
        if ids := tuple(each for each in prompt if isinstance(each, int)):
            return [ids]
        return [
            each if isinstance(each, str) else tuple(each) for each in prompt if not isinstance(each, int)
        ]
