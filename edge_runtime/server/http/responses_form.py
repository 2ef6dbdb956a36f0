"""The body of /v1/responses."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from edge_runtime.server.http.chat_form import MOST_MESSAGES
from edge_runtime.server.http.fields import HOTTEST, Form, Never, No, TokenCount


class InputText(Form):
    type: Literal["input_text"]
    text: str


class InputImage(Form):
    type: Literal["input_image"]
    image_url: str = Field(min_length=1, description="data:image/png;base64,... ; here it is a bare text.")
    detail: Literal["auto", "low", "high"] | None = None


class OutputText(Form):
    type: Literal["output_text"]
    text: str


class SystemInput(Form):
    type: Literal["message"] | None = None
    role: Literal["system", "developer"]
    content: str | Annotated[list[InputText], Field(min_length=1, fail_fast=True)]


class UserInput(Form):
    type: Literal["message"] | None = None
    role: Literal["user"]
    content: (
        str
        | Annotated[
            list[Annotated[InputText | InputImage, Field(discriminator="type")]],
            Field(min_length=1, fail_fast=True),
        ]
    )


class AssistantInput(Form):
    type: Literal["message"] | None = None
    role: Literal["assistant"]
    content: str | Annotated[list[OutputText], Field(min_length=1, fail_fast=True)]


Input = Annotated[SystemInput | UserInput | AssistantInput, Field(discriminator="role")]


class PlainText(Form):
    type: Literal["text"]


class JsonText(Form):
    type: Literal["json_object"]


class SchemaText(Form):
    type: Literal["json_schema"]
    name: str | None = None
    document: dict[str, Any] = Field(alias="schema")
    strict: bool | None = None


class TextFields(Form):
    format: Annotated[PlainText | JsonText | SchemaText, Field(discriminator="type")] | None = None


class ResponseForm(Form):
    model: str = Field(min_length=1, max_length=256)
    input: str | Annotated[list[Input], Field(min_length=1, max_length=MOST_MESSAGES - 1, fail_fast=True)]
    instructions: str | None = Field(None, description="The system text.")
    max_output_tokens: TokenCount | None = None
    temperature: float | None = Field(None, ge=0, le=HOTTEST)
    top_p: float | None = Field(None, gt=0, le=1)
    stream: bool | None = None
    text: TextFields | None = None
    # What OpenAI has and this server has not.
    tools: Never | None = Field(None, description="Not supported: empty or nothing.")
    tool_choice: Literal["none", "auto"] | None = None
    previous_response_id: None = Field(None, description="Not supported: nothing is kept.")
    conversation: None = Field(None, description="Not supported: nothing is kept.")
    background: No | None = None
