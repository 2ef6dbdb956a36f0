"""What every request for an answer may say of how it is to be."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

# The engine's own limits, which its libraries keep this process from looking up; a test holds them together.
HOTTEST = 2.0
PENALTY_LEAST, PENALTY_MOST = 0.01, 100.0
PATTERN_LIMIT = 4096
MOST_OPTIONS = 1000
LONGEST_STOP = 1024
# Ours.
MOST_STOPS = 16  # the model's own come on top
MOST_ANSWERS = 4
MOST_TOKENS = 1 << 20
LARGEST_TOP_K = (1 << 31) - 1
SEED_LEAST, SEED_COUNT = -(1 << 63), 1 << 64


def whole(value: object) -> object:
    """JSON knows no difference between 3 and 3.0."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def truth(value: object) -> object:
    """pydantic takes 0 for false where only false may stand."""
    if value is not None and not isinstance(value, bool):
        raise PydanticCustomError("bool_type", "wanted true or false")
    return value


WHOLE = BeforeValidator(whole)  # behind the limits of a number, or the description would not tell those
Zero = Annotated[float, Field(ge=0, le=0)]
Stop = Annotated[str, Field(min_length=1, max_length=LONGEST_STOP)]
TokenCount = Annotated[int, Field(ge=1, le=MOST_TOKENS), WHOLE]
No = Annotated[Literal[False], BeforeValidator(truth)]
Yes = Annotated[Literal[True], BeforeValidator(truth)]
Never = Annotated[list[Any], Field(max_length=0)]


class Form(BaseModel):
    """Fields that are not declared are accepted, and can be counted."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True, protected_namespaces=())

    @property
    def ignored_fields(self) -> int:
        return len(self.model_extra or {})


class StreamOptions(Form):
    include_usage: bool | None = Field(None, description="A last chunk with the usage of the whole request.")


class TextFormat(Form):
    type: Literal["text"]


class JsonFormat(Form):
    type: Literal["json_object"]


class NamedSchema(Form):
    name: str | None = None
    document: dict[str, Any] | None = Field(None, alias="schema", description="JSON schema, draft 2020-12.")
    strict: bool | None = None


class SchemaFormat(Form):
    type: Literal["json_schema"]
    json_schema: NamedSchema


ResponseFormat = Annotated[TextFormat | JsonFormat | SchemaFormat, Field(discriminator="type")]
Pattern = Annotated[str, Field(min_length=1, max_length=PATTERN_LIMIT)]
Options = Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1, max_length=MOST_OPTIONS)]


class StructuredOutputs(Form):
    document: dict[str, Any] | str | None = Field(None, alias="json")
    regex: Pattern | None = None
    choice: Options | None = None


class AnswerFields(Form):
    model: str = Field(min_length=1, max_length=256, description="The name that /v1/models tells.")
    temperature: float | None = Field(
        None, ge=0, le=HOTTEST, description="Left out, it is 0: the likeliest token is taken every time."
    )
    top_p: float | None = Field(None, gt=0, le=1)
    top_k: Annotated[int, Field(ge=-1, le=LARGEST_TOP_K), WHOLE] | None = Field(
        None, description="0 and -1 are no limit."
    )
    repetition_penalty: float | None = Field(None, ge=PENALTY_LEAST, le=PENALTY_MOST)
    seed: Annotated[int, Field(ge=SEED_LEAST, le=SEED_COUNT - 1), WHOLE] | None = Field(
        None,
        description="The n-th answer is drawn with the n-th seed after it.",
    )
    stop: Stop | Annotated[list[Stop], Field(max_length=MOST_STOPS)] | None = None
    n: Annotated[int, Field(ge=1, le=MOST_ANSWERS), WHOLE] | None = Field(
        None, description="So many answers to one question."
    )
    stream: bool | None = Field(
        None, description="Server-sent events; `: keep-alive` where nothing is said for long."
    )
    stream_options: StreamOptions | None = None
    ignore_eos: bool | None = Field(None, description="As many tokens as were asked for, for measuring.")
    response_format: ResponseFormat | None = None
    guided_json: dict[str, Any] | str | None = Field(None, description="A JSON schema.")
    guided_regex: Pattern | None = None
    guided_choice: Options | None = None
    structured_outputs: StructuredOutputs | None = Field(None, description="One of json, regex and choice.")
    # What OpenAI has and this server has not.
    presence_penalty: Zero | None = Field(None, description="Not supported: 0 or nothing.")
    frequency_penalty: Zero | None = Field(None, description="Not supported: 0 or nothing.")
    logit_bias: Annotated[dict[str, Any], Field(max_length=0)] | None = Field(
        None, description="Not supported: empty or nothing."
    )

    @property
    def answers(self) -> int:
        return self.n or 1

    @property
    def stops(self) -> tuple[str, ...]:
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())

    @property
    def has_usage(self) -> bool:
        """Of a stream: whether its usage is told at the end."""
        return bool(self.stream_options and self.stream_options.include_usage)
