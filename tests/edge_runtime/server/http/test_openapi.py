"""The API's description says what is so."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from edge_runtime import constraint, sampling, textstream
from edge_runtime.request import DEFAULT_MAX_TOKENS
from edge_runtime.server.http import asking, fields
from tests.edge_runtime.server.http.house import CHAT, COMPLETIONS, chat, completion, got, posted

ASKING = [CHAT, COMPLETIONS, "/v1/responses", "/tokenize", "/detokenize"]
FORMS = ["ChatForm", "CompletionForm", "ResponseForm", "TokenizeForm", "DetokenizeForm"]


def described() -> Any:
    reply = got("/openapi.json")
    assert reply.headers["content-type"] == "application/json"
    return reply.json


def parts_of(told: object) -> Iterator[dict[str, Any]]:
    if isinstance(told, dict):
        yield told
    for each in told.values() if isinstance(told, dict) else told if isinstance(told, list) else ():
        yield from parts_of(each)


def test_every_error_of_a_question_is_described_with_its_form() -> None:
    paths = described()["paths"]
    for path in ASKING:
        responses = paths[path]["post"]["responses"]
        assert {"400", "401", "404", "413", "415", "421", "429", "500", "503"} <= responses.keys()
        for status, told in responses.items():
            form = told["content"]["application/json"]["schema"]["$ref"]
            assert (form == "#/components/schemas/ErrorBody") == (status != "200")


def test_no_error_of_another_framework_is_described() -> None:
    told = described()
    assert "422" not in {
        status for path in told["paths"].values() for each in path.values() for status in each["responses"]
    }
    assert not {"HTTPValidationError", "ValidationError"} & told["components"]["schemas"].keys()


def test_whatever_is_referred_to_is_there() -> None:
    told = described()
    known = told["components"]["schemas"]
    references = [part["$ref"] for part in parts_of(told) if "$ref" in part]
    assert len(references) > 50
    assert {each.removeprefix("#/components/schemas/") for each in references} <= known.keys()


def test_every_number_of_a_request_has_its_limits() -> None:
    schemas = described()["components"]["schemas"]
    numbers = [
        part
        for form in FORMS
        for part in parts_of(schemas[form])
        if part.get("type") in ("integer", "number")
    ]
    assert len(numbers) > 20
    for each in numbers:
        assert {"minimum", "exclusiveMinimum"} & each.keys(), each
        assert "maximum" in each, each


def test_what_is_answered_has_the_fields_that_are_described() -> None:
    schemas = described()["components"]["schemas"]
    for path, body, form in ((CHAT, chat(), "ChatCompletion"), (COMPLETIONS, completion(), "Completion")):
        assert posted(path, body).json.keys() == schemas[form]["properties"].keys()


def test_a_stream_is_described_as_one() -> None:
    responses = described()["paths"][CHAT]["post"]["responses"]
    assert responses["200"]["content"].keys() == {"application/json", "text/event-stream"}


def test_the_limits_are_those_of_the_engine() -> None:
    assert fields.HOTTEST == sampling.HOTTEST
    assert (fields.PENALTY_LEAST, fields.PENALTY_MOST) == sampling.PENALTY_LIMITS
    assert fields.PATTERN_LIMIT == constraint.PATTERN_LIMIT
    assert fields.MOST_OPTIONS == constraint.MOST_OPTIONS
    assert fields.LONGEST_STOP == textstream.LONGEST_STOP_STRING
    assert fields.MOST_STOPS < textstream.MOST_STOP_STRINGS
    assert asking.USUAL_ANSWER == DEFAULT_MAX_TOKENS
