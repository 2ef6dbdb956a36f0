"""The body of /v1/chat/completions."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from edge_runtime.server.http.fields import WHOLE, AnswerFields, Form, Never, TokenCount

MOST_MESSAGES = 1024
MOST_CHAT_LOGPROBS = 20


class ImageUrl(Form):
    url: str = Field(
        min_length=1, description="data:image/png;base64,... ; other kinds only where the server was told to."
    )
    detail: Literal["auto", "low", "high"] | None = Field(
        None, description="Accepted; every image is seen alike."
    )


class TextPart(Form):
    type: Literal["text"]
    text: str


class RefusalPart(Form):
    type: Literal["refusal"]
    refusal: str


class ImagePart(Form):
    type: Literal["image_url"]
    image_url: ImageUrl


UserPart = Annotated[TextPart | ImagePart, Field(discriminator="type")]
AssistantPart = Annotated[TextPart | RefusalPart, Field(discriminator="type")]


class SystemMessage(Form):
    role: Literal["system", "developer"]
    content: str | Annotated[list[TextPart], Field(min_length=1, fail_fast=True)]
    name: str | None = None


class UserMessage(Form):
    role: Literal["user"]
    content: str | Annotated[list[UserPart], Field(min_length=1, fail_fast=True)] = Field(
        description="The images of a message are seen before its text; several texts are joined by line breaks."
    )
    name: str | None = None


class AssistantMessage(Form):
    role: Literal["assistant"]
    content: str | Annotated[list[AssistantPart], Field(min_length=1, fail_fast=True)] | None = None
    refusal: str | None = None
    name: str | None = None
    tool_calls: Never | None = Field(None, description="Not supported: empty or nothing.")
    function_call: None = Field(None, description="Not supported.")
    audio: None = Field(None, description="Not supported.")


Message = Annotated[SystemMessage | UserMessage | AssistantMessage, Field(discriminator="role")]
Messages = Annotated[
    list[Message],
    Field(
        min_length=1,
        max_length=MOST_MESSAGES,
        fail_fast=True,
        description="A system or developer message may be the first; the last is the user's. Messages of one role"
        " that follow each other are joined by line breaks.",
    ),
]


class ChatForm(AnswerFields):
    messages: Messages
    max_tokens: TokenCount | None = Field(None, description="Left out: as many as fit, up to 512.")
    max_completion_tokens: TokenCount | None = Field(
        None,
        description="The newer name of max_tokens; it counts where both are given.",
    )
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=MOST_CHAT_LOGPROBS), WHOLE] | None = Field(
        None, description="Only with logprobs."
    )
    # What OpenAI has and this server has not.
    tools: Never | None = Field(None, description="Not supported: empty or nothing.")
    tool_choice: Literal["none", "auto"] | None = Field(None, description="Not supported.")
    functions: Never | None = Field(None, description="Not supported: empty or nothing.")
    function_call: Literal["none", "auto"] | None = Field(None, description="Not supported.")
    modalities: Annotated[list[Literal["text"]], Field(max_length=1)] | None = None
    audio: None = Field(None, description="Not supported.")
    prediction: None = Field(None, description="Not supported.")
    web_search_options: None = Field(None, description="Not supported.")

    @property
    def most_tokens(self) -> int | None:
        return self.max_completion_tokens or self.max_tokens


def example(model: str) -> dict[str, Any]:
    """A request that is answered, for the API's description."""
    return {"model": model, "messages": [{"role": "user", "content": "What is it?"}], "max_tokens": 16}
