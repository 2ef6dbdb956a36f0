"""Whether an answer depends on its form: questions about colours, answered freely, as a choice and in JSON objects:
`python -m demo.forms BUNDLE --out OUT.json`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from demo.circumstances import circumstances
from demo.data.shape import COLOURS
from demo.evaluate import recipe_of
from demo.questions import Case, cases_from_questions, held_out_questions
from edge_runtime.assistant import Assistant
from edge_runtime.constraint import Choice, Constraint, JsonSchema
from edge_runtime.loading import load
from edge_runtime.publish import staged_file
from edge_runtime.record import bytes_from_json
from edge_runtime.request import Request

NAMES = tuple(COLOURS)
LONGEST = 60  # tokens; any string may go on and on


@dataclass(frozen=True)
class Form:
    name: str
    constraint: Constraint | None
    colour_of: Callable[[str], str]


def object_of(key: str, wanted: dict[str, object]) -> JsonSchema:
    schema = {
        "type": "object",
        "properties": {key: wanted},
        "required": [key],
        "additionalProperties": False,
    }
    return JsonSchema(json.dumps(schema))


def value_of(said: str) -> str:
    """The object's only value; nothing where it was cut short."""
    try:
        (value,) = json.loads(said).values()
    except ValueError:
        return ""
    return str(value)


FORMS = (
    Form("free", None, str),
    Form("one of the colours", Choice(NAMES), str),
    Form("an object of one of the colours", object_of("colour", {"enum": list(NAMES)}), value_of),
    Form("an object of any string", object_of("answer", {"type": "string"}), value_of),
)


def cases(count: int) -> list[Case]:
    """The first held-out questions about colours whose answers are English."""
    every = cases_from_questions(held_out_questions(25 * count, makers=("shapes",)))
    return list(islice((case for case in every if case.task == "colour" and case.answer in NAMES), count))


def right_of(assistant: Assistant, form: Form, asked: list[Case]) -> int:
    request = Request(constraint=form.constraint, max_tokens=LONGEST)
    right = 0
    for case in asked:
        said = assistant.ask(case.prompt, case.picture, request=request).text
        right += form.colour_of(said).strip() == case.answer
    return right


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--questions", type=int, default=80)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    asked = cases(arguments.questions)
    with staged_file(arguments.out) as out, load(arguments.bundle, is_trusted=True) as assistant:
        report = {
            "kind": "right answers to held-out questions about colours, by the form of the answer",
            "bundle": arguments.bundle.name,
            "recipe": recipe_of(assistant.bundle),
            "questions": len(asked),
            "right": {form.name: right_of(assistant, form, asked) for form in FORMS},
            **circumstances(f"python -m demo.forms {arguments.bundle.name} --questions {len(asked)}"),
        }
        out.write_bytes(bytes_from_json(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
