"""What an answer is held to, of the several ways there are to say it."""

from __future__ import annotations

import json

from edge_runtime.server.asked import AskedFormat
from edge_runtime.server.http.errors import RequestError
from edge_runtime.server.http.fields import AnswerFields, JsonFormat, SchemaFormat, StructuredOutputs

ANY_OBJECT = '{"type": "object"}'
Schema = dict[str, object] | str | None


def held_to_of(fields: AnswerFields) -> AskedFormat | None:
    """Raises RequestError where it is said more than once."""
    told = {
        "response_format": of_response_format(fields),
        "guided_json": of_schema(fields.guided_json),
        "guided_regex": of_regex(fields.guided_regex),
        "guided_choice": of_choice(fields.guided_choice),
        **of_structured(fields.structured_outputs),
    }
    found = {name: each for name, each in told.items() if each is not None}
    if len(found) > 1:
        why = f"{' and '.join(found)} are given"
        fix = "keep one of them"
        raise RequestError(
            "EVL-REQUEST-FIELD", "the answer cannot be held to two things", why, fix, param=[*found][1]
        )
    return next(iter(found.values()), None)


def of_structured(wanted: StructuredOutputs | None) -> dict[str, AskedFormat | None]:
    if wanted is None:
        return {}
    return {
        "structured_outputs.json": of_schema(wanted.document),
        "structured_outputs.regex": of_regex(wanted.regex),
        "structured_outputs.choice": of_choice(wanted.choice),
    }


def of_response_format(fields: AnswerFields) -> AskedFormat | None:
    wanted = fields.response_format
    if isinstance(wanted, SchemaFormat):
        return of_schema({} if wanted.json_schema.document is None else wanted.json_schema.document)
    return AskedFormat("schema", (ANY_OBJECT,)) if isinstance(wanted, JsonFormat) else None


def of_schema(schema: Schema) -> AskedFormat | None:
    if schema is None:
        return None
    text = schema if isinstance(schema, str) else json.dumps(schema, ensure_ascii=False)
    return AskedFormat("schema", (text,))


def of_regex(pattern: str | None) -> AskedFormat | None:
    return None if pattern is None else AskedFormat("regex", (pattern,))


def of_choice(options: list[str] | None) -> AskedFormat | None:
    return None if options is None else AskedFormat("choice", tuple(options))
