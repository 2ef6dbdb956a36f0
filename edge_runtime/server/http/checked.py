"""A JSON object held to a form; what is wrong with it is told by the name of the field."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from edge_runtime.server.http.body import Document
from edge_runtime.server.http.errors import RequestError

T = TypeVar("T", bound=BaseModel)
LIBRARYS = re.compile("^(Input|List|String|Dictionary) should")
Place = tuple[int | str, ...]

# Fields that OpenAI has and this server has not, and those that are often written in another form.
ADVICE: Mapping[str, str] = {
    **dict.fromkeys(
        ("tools", "tool_choice", "functions", "function_call", "tool_calls"), "tools are not supported"
    ),
    "audio": "audio is not supported",
    "modalities": 'only ["text"] is supported',
    "logit_bias": "no bias is supported",
    "presence_penalty": "only 0 is supported; repetition_penalty is what this server has",
    "frequency_penalty": "only 0 is supported; repetition_penalty is what this server has",
    "best_of": "only 1 is supported",
    "suffix": "no text after the answer is supported",
    "echo": "repeating the prompt is not supported",
    "prediction": "a predicted answer is not supported",
    "web_search_options": "nothing is searched here",
    "add_special_tokens": "the beginning token is always there",
    "return_token_strs": "/detokenize tells the text of tokens",
    "image_url": 'write {"type": "image_url", "image_url": {"url": "data:image/png;base64,..."}}',
    "previous_response_id": "no response is kept; send the whole conversation",
    "conversation": "no conversation is kept; send the whole of it",
    "background": "only false is supported",
    "store": "no response is kept",
}
USUAL_ADVICE = "/openapi.json says what may stand there"
JSONS = {"False": "false", "True": "true"}
WORDS = {
    "missing": "it is missing",
    "string_type": "wanted a text",
    "list_type": "wanted a list",
    "dict_type": "wanted an object",
    "model_type": "wanted an object",
    "model_attributes_type": "wanted an object",
    "bool_type": "wanted true or false",
    "int_type": "wanted a whole number",
    "float_type": "wanted a number",
    "none_required": "wanted null, or nothing at all",
}


def checked(form: type[T], document: Document) -> T:
    """Raises RequestError with the field's name."""
    try:
        return form.model_validate(document)
    except ValidationError as error:
        raise request_error(error.errors(include_url=False, include_input=False), document) from None


def request_error(faults: Sequence[ErrorDetails], document: Document) -> RequestError:
    # Of several forms that something could have had, the one that fits furthest is meant.
    fault = max(faults, key=lambda each: fit_of(each, document))
    place = place_in(document, fault["loc"])
    param = ".".join(map(str, place))
    why, fix = words_of(fault), ADVICE.get(str(place[-1]) if place else "", USUAL_ADVICE)
    what = f"{param or 'the request'} cannot be used"
    return RequestError("EVL-REQUEST-FIELD", what, why, fix, param=param or None)


def fit_of(fault: ErrorDetails, document: Document) -> tuple[int, bool]:
    is_missing = fault["type"] == "missing"
    is_other_kind = fault["type"] == "none_required" or fault["type"].endswith("_type")
    return len(place_in(document, fault["loc"])) - is_missing, not is_other_kind


def place_in(document: object, told: Place) -> Place:
    """The place without what only names a form."""
    place: list[int | str] = []
    for index, step in enumerate(told):
        if isinstance(document, dict) and step in document:
            document = document[str(step)]
        elif isinstance(document, list) and isinstance(step, int) and step < len(document):
            document = document[step]
        elif index < len(told) - 1 or not isinstance(document, dict):
            continue
        place.append(step)
    return tuple(place)


def words_of(fault: ErrorDetails) -> str:
    kind, context = fault["type"], fault.get("ctx", {})
    if kind == "literal_error":
        return f"wanted {JSONS.get(str(context['expected']), context['expected'])}"
    if kind.startswith("union_tag"):
        wanted, by = context.get("expected_tags"), str(context.get("discriminator", "")).strip("'")
        return f"its {by} is to be one of {wanted}" if wanted else f"it has no {by}"
    return WORDS.get(kind) or LIBRARYS.sub("it should", fault["msg"]).partition(" after validation")[0]
